//! Reads the state of the secret store.

use crate::adapters::custody::{Custody, Status};
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;

pub struct ReadCustody {
    pub guard: Guard,
    pub custody: Custody,
}

impl ReadCustody {
    pub async fn run(&self, caller: &Caller) -> Result<Status, Failure> {
        self.guard.allow(caller, "custody.status", None, "", Reason::PermissionDenied).await?;
        Ok(self.custody.status().await?)
    }
}
