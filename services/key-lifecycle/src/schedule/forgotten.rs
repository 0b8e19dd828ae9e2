//! Downloads that nobody acknowledged: once no claim can be fetched any more, the private half is destroyed where the
//! policy says so, as after an acknowledgement.

use super::{Scheduler, WORK};
use crate::app::acknowledge_download::forget;
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, TenantId};
use keywright_runtime::audit::Entry;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Intent, Outcome};

/// Of one round.
const MOST: i64 = 100;

impl Scheduler {
    pub(super) async fn forgotten(&self, now: Instant) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let downloaded = store::schedule::downloaded(&mut reader, now, MOST).await?;
        drop(reader);
        for (access, tenant) in downloaded {
            let caller = Caller::background(ServiceName::KeyLifecycle, WORK);
            let entry = Entry::new("access.forget_key").tenant(Some(&tenant)).target(access.as_str());
            let intent = self.audit.intend(&caller, entry).await?;
            let done = self.db.serialized(|| self.forget(&tenant, &access, &intent)).await;
            let result = done.map_err(Failure::from);
            self.audit.conclude(&self.db, &intent, &result).await;
            result?;
        }
        Ok(())
    }

    /// What was seen is looked at again: the policy may have changed between.
    async fn forget(&self, tenant: &TenantId, access: &AccessId, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        let forgotten = forget(&mut tx, tenant, access).await?;
        store::access::touch(&mut tx, access).await?;
        intent.done(&mut tx, Outcome::succeeded().with("forgotten", forgotten.to_string())).await?;
        tx.commit().await?;
        Ok(())
    }
}
