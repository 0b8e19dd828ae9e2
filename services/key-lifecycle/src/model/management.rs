//! An installation of Keywright's own key on a server.

use super::words::ManagementState;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CredentialId, ManagementId, ServerId, VersionId};
use keywright_domain::key::PublicKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Management {
    pub id: ManagementId,
    pub server: ServerId,
    pub credential: CredentialId,
    pub version: VersionId,
    /// None before it is generated.
    pub public_key: Option<PublicKey>,
    pub username: String,
    pub state: ManagementState,
    pub created_at: Instant,
}
