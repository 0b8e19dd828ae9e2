//! The end of an access's keys, host by host.

use super::words::{RevocationState, SessionsToEnd};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, RevocationId, ServerId, TenantId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub id: RevocationId,
    pub tenant: TenantId,
    pub access: AccessId,
    pub state: RevocationState,
    pub compromised: bool,
    pub sessions: SessionsToEnd,
    pub comment: String,
    pub requested_at: Instant,
    pub finished_at: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationHost {
    pub server: ServerId,
    pub server_name: String,
    /// None while a key may still be usable.
    pub proven_at: Option<Instant>,
    /// A number, or UNKNOWN; empty before it was tried.
    pub sessions_ended: String,
    pub processes: Vec<String>,
    pub crontabs: Vec<String>,
    pub residual: Vec<String>,
    pub reason: String,
    pub attempts: u32,
    pub not_before: Instant,
}

impl RevocationHost {
    /// Minutes from the revocation to the proof, or to now, rounded up.
    pub fn exposed_minutes(&self, requested_at: Instant, now: Instant) -> i32 {
        let until = self.proven_at.unwrap_or(now);
        let micros = until.micros().saturating_sub(requested_at.micros()).max(0);
        i32::try_from(micros.saturating_add(59_999_999) / 60_000_000).unwrap_or(i32::MAX)
    }
}
