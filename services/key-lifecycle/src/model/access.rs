//! A tenant's access: one account, one managed credential with numbered versions, hosts with a line per version.

use super::words::{Enforcer, LineState, VersionState};
use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ClaimId, CredentialId, ServerId, TenantId, VersionId};
use keywright_domain::key::{KeyAlgorithm, PublicKey};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub id: AccessId,
    pub tenant: TenantId,
    pub account: AccountName,
    pub credential: CredentialId,
    /// Of the key that was begun last: its holder's, or what the policy says at that time.
    pub algorithm: KeyAlgorithm,
    pub create_account: bool,
    pub created_at: Instant,
    pub revoked_at: Option<Instant>,
    /// Its provisioning failed: it never came into use.
    pub closed_at: Option<Instant>,
    /// It is given up for good: asked for, and done.
    pub deprovision_at: Option<Instant>,
    pub deprovisioned_at: Option<Instant>,
    pub revision: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub server: ServerId,
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Other ways in that the last edit saw.
    pub residual: Vec<String>,
    /// The account is to be created where it is missing.
    pub create_account: bool,
    /// It is being taken off the access.
    pub leaving: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub id: VersionId,
    pub access: AccessId,
    pub number: u32,
    pub state: VersionState,
    /// None before it is generated, or recorded by credential-store.
    pub public_key: Option<PublicKey>,
    /// The public half that its holder made.
    pub client_key: Option<PublicKey>,
    pub created_at: Instant,
    pub promoted_at: Option<Instant>,
    pub compromised_at: Option<Instant>,
    pub destroy_at: Option<Instant>,
    pub destroyed_at: Option<Instant>,
    pub pushed_state: Option<VersionState>,
}

impl Version {
    /// When it has been in use for as long as its policy allows.
    pub fn age_ends_at(&self, maximum: Duration) -> Option<Instant> {
        self.promoted_at.map(|at| at.plus(maximum))
    }

    /// Its holder made it: its private half was never here.
    pub const fn is_client_made(&self) -> bool {
        self.client_key.is_some()
    }

    /// Whether Keywright can sign with it.
    pub const fn has_private_half(&self) -> bool {
        self.client_key.is_none() && self.destroy_at.is_none()
    }

    /// Whether credential-store knows of the state and has destroyed what was to be destroyed.
    pub fn is_pushed(&self) -> bool {
        self.pushed_state == Some(self.state) && self.destroy_at.is_some() == self.destroyed_at.is_some()
    }
}

/// One version on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub server: ServerId,
    pub version: VersionId,
    pub state: LineState,
    pub enforced_by: Option<Enforcer>,
    pub receipt: Option<Receipt>,
}

impl Line {
    /// It stands, and the host has accepted the key since it was written.
    pub fn is_proven(&self) -> bool {
        matches!(self.state, LineState::Installed | LineState::Expiring)
            && self.receipt.as_ref().is_some_and(|receipt| receipt.accepted)
    }
}

/// What one fresh connection showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub method: String,
    pub accepted: bool,
    pub proven_at_micros: i64,
    pub host_key: String,
    pub source_port: i32,
    pub server_version: String,
}

impl Receipt {
    pub const fn proven_at(&self) -> Instant {
        Instant::from_micros(self.proven_at_micros)
    }
}

/// A download of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub id: ClaimId,
    pub access: AccessId,
    pub version: VersionId,
    pub principal: String,
    /// The token it was made with.
    pub session: String,
    pub created_at: Instant,
    pub expires_at: Instant,
    pub acknowledged_at: Option<Instant>,
}

impl Claim {
    /// It may still be fetched again by whoever made it.
    pub fn is_open(&self, now: Instant) -> bool {
        self.acknowledged_at.is_none() && now < self.expires_at
    }
}
