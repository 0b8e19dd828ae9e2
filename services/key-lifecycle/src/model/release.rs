//! A server that left the product, and what stays on it.

use super::access::Receipt;
use super::words::ReleaseState;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CredentialId, ManagementId, ServerId, TenantId};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The management key that the server had.
    pub id: ManagementId,
    pub server: ServerId,
    pub tenant: TenantId,
    pub state: ReleaseState,
    /// The saved credential that is another way in; None where Keywright's own line is left.
    pub other: Option<CredentialId>,
    /// Its line is left where no other way in is proven.
    pub may_stay: bool,
    pub staying: Vec<Staying>,
    pub comment: String,
    pub other_path: Option<Receipt>,
    pub refused: Option<Receipt>,
    pub requested_at: Instant,
    pub finished_at: Option<Instant>,
    pub attempts: u32,
}

/// An access's key that keeps working there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staying {
    pub account: String,
    pub access: String,
    pub version: u32,
    pub fingerprint: String,
    /// When the host ends it by itself; None where nobody does.
    pub ends_at_micros: Option<i64>,
}
