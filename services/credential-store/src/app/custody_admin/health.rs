//! Asks the secret store how it is. Standing state that nobody is told of otherwise, so it is asked anew each time.

use crate::adapters::custody::{Custody, Health};
use keywright_domain::caller::Caller;
use keywright_domain::clock::{Clock, Instant};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;

pub struct ReadHealth {
    pub guard: Guard,
    pub custody: Custody,
    pub clock: Clock,
}

impl ReadHealth {
    /// The health and when it was asked for: by this process's clock, since the database may be what is down.
    pub async fn run(&self, caller: &Caller) -> Result<(Health, Instant), Failure> {
        self.guard.allow(caller, "custody.status", None, "", Reason::PermissionDenied).await?;
        let asked = self.clock.now();
        Ok((self.custody.health().await, asked))
    }
}
