//! Forgets the key-encryption key, in this process.

use crate::adapters::custody::{Custody, Status};
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "custody.seal";

pub struct SealCustody {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub custody: Custody,
}

impl SealCustody {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller) -> Result<Status, Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::PermissionDenied).await?;
        let intent = self.audit.intend(caller, Entry::new(ACTION)).await?;
        let result = self.seal(&intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result?;
        Ok(self.custody.status().await?)
    }

    async fn seal(&self, intent: &Intent) -> Result<(), Failure> {
        self.custody.embedded()?.seal().await?;
        self.audit.settle(&self.db, intent, Outcome::succeeded()).await
    }
}
