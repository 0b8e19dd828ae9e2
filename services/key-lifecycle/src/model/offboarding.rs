//! The end of a tenant.

use super::words::OffboardingState;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offboarding {
    pub tenant: TenantId,
    pub state: OffboardingState,
    pub comment: String,
    pub accesses: u32,
    pub outstanding: u32,
    /// What holds back the deletion, in plain words.
    pub waits_for: Vec<String>,
    pub requested_at: Instant,
    pub exported_at: Option<Instant>,
    pub finished_at: Option<Instant>,
    pub attempts: u32,
}
