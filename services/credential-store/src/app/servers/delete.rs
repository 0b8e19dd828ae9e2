//! Deletes a server that nothing uses: no binding, no management key, no reference.

use super::read::blockers;
use crate::app::find;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

const ACTION: &str = "server.delete";

pub struct DeleteServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl DeleteServer {
    #[instrument(skip_all, fields(server = shown(id)))]
    pub async fn run(&self, caller: &Caller, id: &str, confirmation: &str) -> Result<(), Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, id).await?;
        find::confirmed(confirmation, id)?;
        let entry =
            Entry::new(ACTION).tenant(Some(&server.tenant)).target(id).detail("name", server.name.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let deleted: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let now = find::server_in(&mut tx, &server.id).await?;
                let references = store::usage::references_on_in(&mut tx, id).await?;
                let led_to = store::server::led_to_in(&mut tx, &server.id).await?;
                let blockers = blockers(&now, &references, &led_to);
                if !blockers.is_empty() {
                    let refusal = Failure::new(
                        Reason::ServerInUse,
                        format!("The server is in use. {}", blockers.join(" ")),
                    );
                    return Err(refusal.with("totalReferences", references.len().to_string()).into());
                }
                store::server::delete(&mut tx, &server.id).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = deleted.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}
