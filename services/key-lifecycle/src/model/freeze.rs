//! A brake that is pulled.

use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// None: the whole installation's.
    pub tenant: Option<TenantId>,
    pub frozen_at: Instant,
    pub frozen_by: String,
    pub comment: String,
}
