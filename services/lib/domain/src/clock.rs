//! Time and randomness as parameters: nothing in the project asks the operating system by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// An instant: microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Rounded up to a whole second: a promise is never kept short.
    pub const fn ceil_to_second(self) -> Self {
        Self::from_secs(self.0.saturating_add(999_999).div_euclid(1_000_000))
    }

    pub fn plus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    pub fn minus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 in UTC with microseconds, for people and for the canonical audit event.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_microsecond(self.0).map(|t| format!("{t:.6}")).unwrap_or_default()
    }
}

impl From<i64> for Instant {
    fn from(micros: i64) -> Self {
        Self(micros)
    }
}

/// The clock seam: the system's time, or one that a test moves.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    #[default]
    System,
    /// Microseconds since the epoch, moved by a test.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the operating system for the time")]
    pub fn now(&self) -> Instant {
        match self {
            Self::System => Instant(jiff::Timestamp::now().as_microsecond()),
            Self::Manual(micros) => Instant(micros.load(Ordering::SeqCst)),
        }
    }
}

/// Fills `bytes` from the operating system's generator.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    use aws_lc_rs::rand::{SecureRandom, SystemRandom};
    SystemRandom::new().fill(bytes).map_err(|_| NoRandomness)
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;
