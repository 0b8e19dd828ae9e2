//! Deactivates a server: one-way, and repeating it changes nothing. Revocations, grace ends and removals still reach it.

use crate::app::find;
use crate::domain::server::{Lifecycle, Server};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

const ACTION: &str = "server.deactivate";

pub struct DeactivateServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl DeactivateServer {
    #[instrument(skip_all, fields(server = shown(id)))]
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<Server, Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, id).await?;
        let intent =
            self.audit.intend(caller, Entry::new(ACTION).tenant(Some(&server.tenant)).target(id)).await?;
        let deactivated: Result<Server, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let before = find::server_in(&mut tx, &server.id).await?;
                if before.lifecycle == Lifecycle::Active {
                    store::server::deactivate(&mut tx, &server.id).await?;
                    if let Some(binding) = &before.binding {
                        store::credential::usage_changed(&mut tx, &binding.credential).await?;
                    }
                }
                let after = find::server_in(&mut tx, &server.id).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await;
        let result = deactivated.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}
