//! Renames a server.

use super::register::name_taken;
use crate::app::find;
use crate::domain::server::Server;
use crate::domain::text;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

const ACTION: &str = "server.rename";

pub struct RenameServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl RenameServer {
    #[instrument(skip_all, fields(server = shown(id)))]
    pub async fn run(&self, caller: &Caller, id: &str, name: &str) -> Result<Server, Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, id).await?;
        let name = text::name("name", name)?;
        let entry = Entry::new(ACTION).tenant(Some(&server.tenant)).target(id).detail("name", name.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let renamed: Result<Server, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                find::server_in(&mut tx, &server.id).await?;
                store::server::rename(&mut tx, &server.id, &name).await?;
                let renamed = find::server_in(&mut tx, &server.id).await?;
                intent.done(&mut tx, Outcome::succeeded().with("before", server.name.as_str())).await?;
                tx.commit().await?;
                Ok(renamed)
            })
            .await;
        let result = renamed.map_err(|error| name_taken(error.into_failure()));
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}
