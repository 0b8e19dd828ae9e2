//! One management key of a server: how it came there, whether it counts, whether its line still stands.

use super::access::Receipt;
use super::words::{ManagementKind, ManagementState, ManagementStep};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CredentialId, ManagementId, ServerId, TenantId, VersionId};
use keywright_domain::key::PublicKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Management {
    pub id: ManagementId,
    pub server: ServerId,
    /// Of the server; None for what was installed before that was written down.
    pub tenant: Option<TenantId>,
    pub credential: CredentialId,
    pub version: VersionId,
    /// None before it is generated.
    pub public_key: Option<PublicKey>,
    pub username: String,
    pub kind: ManagementKind,
    pub state: ManagementState,
    pub step: ManagementStep,
    pub reason: String,
    pub message: String,
    pub comment: String,
    pub attempts: u32,
    /// The proof that it logs in.
    pub receipt: Option<Receipt>,
    /// The proof that it is refused.
    pub refused: Option<Receipt>,
    pub created_at: Instant,
    pub finished_at: Option<Instant>,
    pub replaced_at: Option<Instant>,
    pub removed_at: Option<Instant>,
    /// A pass that takes its line off the host is under way.
    pub ending_at: Option<Instant>,
    pub next_at: Option<Instant>,
}

impl Management {
    pub fn new(
        id: ManagementId,
        server: ServerId,
        keys: (CredentialId, VersionId),
        username: String,
        kind: ManagementKind,
        now: Instant,
    ) -> Self {
        Self {
            id,
            server,
            tenant: None,
            credential: keys.0,
            version: keys.1,
            public_key: None,
            username,
            kind,
            state: ManagementState::Running,
            step: ManagementStep::Generate,
            reason: String::new(),
            message: String::new(),
            comment: String::new(),
            attempts: 0,
            receipt: None,
            refused: None,
            created_at: now,
            finished_at: None,
            replaced_at: None,
            removed_at: None,
            ending_at: None,
            next_at: None,
        }
    }

    /// It counted, and its line may stand on the host.
    pub fn stands(&self) -> bool {
        self.state == ManagementState::Succeeded && self.removed_at.is_none()
    }

    /// Something may be done on the host in its name.
    pub fn is_open(&self) -> bool {
        self.state == ManagementState::Running || self.ending_at.is_some()
    }
}
