//! When a request has to be answered, for operations that do as much as they can until then.

use crate::clients::CALL_DEADLINE;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// A request's own, as the stack keeps it.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().copied().unwrap_or_else(|| Self::after(CALL_DEADLINE))
    }

    /// When to stop beginning things, so that `reserve` is left to say what became of them; of a short time, half.
    pub fn before(self, reserve: Duration) -> Instant {
        let left = self.0.saturating_duration_since(Instant::now());
        self.0.checked_sub(reserve.min(left / 2)).unwrap_or(self.0)
    }
}
