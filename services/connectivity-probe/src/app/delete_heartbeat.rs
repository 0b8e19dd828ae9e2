//! Has a server tested no more; what is known of it stays.

use crate::adapters::directory::{Directory, Server};
use crate::store::server_state;
use keywright_domain::caller::Caller;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "heartbeat.delete";

pub struct DeleteHeartbeat {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub directory: Directory,
}

impl DeleteHeartbeat {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, server: &str) -> Result<(), Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, server).await?;
        let (tenant, target) = (&server.tenant, server.id.as_str());
        let entry = Entry::new(ACTION).tenant(Some(tenant)).target(target);
        let intent = self.audit.intend(caller, entry).await?;
        let done = self.db.serialized(|| self.stop(&server, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &done).await;
        done
    }

    async fn stop(&self, server: &Server, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        server_state::stop(&mut tx, &server.id).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }
}
