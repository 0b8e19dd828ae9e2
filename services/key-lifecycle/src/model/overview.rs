//! What is seen of many accesses at once, and of exposed keys.

use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use std::time::Duration;

/// An access is due soon so long before it is due.
pub const DUE_SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// How an access stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub access: AccessId,
    pub tenant: TenantId,
    pub account: String,
    pub revoked: bool,
    /// Since when its key is in use; None without one.
    pub active_since: Option<Instant>,
    /// By its policy.
    pub maximum_age: Duration,
    /// Its holder made it, or has to make the next.
    pub client_made: bool,
    pub last_rotated_at: Option<Instant>,
    /// A rotation runs or converges.
    pub rotating: bool,
    /// Of the last key that is in its grace.
    pub grace_ends_at: Option<Instant>,
}

impl Facts {
    /// When its key reaches its maximum age; None for a revoked one.
    pub fn due_at(&self) -> Option<Instant> {
        self.active_since.filter(|_| !self.revoked).map(|since| since.plus(self.maximum_age))
    }
}

/// Why a key must not work any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExposureKind {
    Revoked,
    Compromised,
    GraceEnded,
}

impl ExposureKind {
    pub const ALL: [Self; 3] = [Self::Revoked, Self::Compromised, Self::GraceEnded];

    /// As measurements are labelled.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Compromised => "compromised",
            Self::GraceEnded => "grace_ended",
        }
    }
}

impl TryFrom<String> for ExposureKind {
    type Error = ();

    fn try_from(text: String) -> Result<Self, ()> {
        match text.as_str() {
            "REVOKED" => Ok(Self::Revoked),
            "COMPROMISED" => Ok(Self::Compromised),
            "GRACE_ENDED" => Ok(Self::GraceEnded),
            _ => Err(()),
        }
    }
}

/// A key on a host that must not work any more and is not proven refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    pub kind: ExposureKind,
    pub tenant: TenantId,
    pub access: AccessId,
    pub account: String,
    pub server: ServerId,
    /// Empty where the host was taken off the access.
    pub server_name: String,
    /// The revocation or rotation that is at it.
    pub work: String,
    pub since: Instant,
    pub reason: String,
    pub attempts: u32,
}

impl Exposed {
    /// Its place among those exposed since the same instant.
    pub fn place(&self) -> String {
        format!("{}.{}", self.work, self.server)
    }

    /// Rounded up.
    pub fn minutes(&self, now: Instant) -> i32 {
        let micros = now.micros().saturating_sub(self.since.micros()).max(0);
        i32::try_from(micros.saturating_add(59_999_999) / 60_000_000).unwrap_or(i32::MAX)
    }
}
