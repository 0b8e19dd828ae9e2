//! Removes somebody who is told.

use super::allowed;
use crate::model::Target;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

#[derive(Clone)]
pub struct DeleteTarget {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl DeleteTarget {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let target = allowed(&mut reader, &self.guard, caller, "notification.delete", id).await?;
        drop(reader);
        let entry =
            Entry::new("notification.delete").tenant(target.tenant.as_ref()).target(target.id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.db.serialized(|| self.delete(&target, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn delete(&self, target: &Target, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        store::notification_target::delete(&mut tx, &target.id).await?;
        store::delivery::drop_undelivered(&mut tx, &target.id).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }
}
