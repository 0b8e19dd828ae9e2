//! Removes the binding of a server; the credential stays.

use crate::app::find;
use crate::domain::server::Server;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

const ACTION: &str = "server.unbind";

pub struct UnbindCredential {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl UnbindCredential {
    #[instrument(skip_all, fields(server = shown(id)))]
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<Server, Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, id).await?;
        let intent =
            self.audit.intend(caller, Entry::new(ACTION).tenant(Some(&server.tenant)).target(id)).await?;
        let unbound: Result<Server, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let before = find::server_in(&mut tx, &server.id).await?;
                let Some(binding) = before.binding else {
                    return Err(Failure::not_found(Reason::BindingNotFound, id).into());
                };
                store::server::unbind(&mut tx, &server.id).await?;
                store::credential::usage_changed(&mut tx, &binding.credential).await?;
                let after = find::server_in(&mut tx, &server.id).await?;
                intent
                    .done(&mut tx, Outcome::succeeded().with("credential", binding.credential.as_str()))
                    .await?;
                tx.commit().await?;
                Ok(after)
            })
            .await;
        let result = unbound.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}
