//! Begins no further test of a fleet test; what runs, goes on and is recorded.

use super::read_fleet_tests::find;
use crate::fleet::State;
use crate::store::{fleet_target, fleet_test};
use keywright_domain::caller::Caller;
use keywright_domain::ids::FleetTestId;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "fleet_test.cancel";

pub struct CancelFleetTest {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl CancelFleetTest {
    /// Of one that has ended nothing changes.
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<FleetTestId, Failure> {
        let test = find(&self.db, &self.guard, caller, ACTION, id).await?;
        let entry = Entry::new(ACTION).tenant(test.tenant.as_ref()).target(test.id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let done = self.db.serialized(|| self.cancel(&test.id, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &done).await;
        done.map(|()| test.id)
    }

    async fn cancel(&self, id: &FleetTestId, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        if fleet_test::end(&mut tx, id, State::Cancelled).await? {
            fleet_target::cancel(&mut tx, id).await?;
        }
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }
}
