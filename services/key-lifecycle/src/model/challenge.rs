//! A nonce that waits to be signed.

use keywright_domain::clock::Instant;
use keywright_domain::ids::{ChallengeId, TenantId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub id: ChallengeId,
    pub tenant: TenantId,
    pub nonce: String,
    pub expires_at: Instant,
}
