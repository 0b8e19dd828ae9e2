//! Records the management key of a server, after key-lifecycle has proven it.

use crate::app::find;
use crate::domain::credential::Kind;
use crate::domain::server::Management;
use crate::domain::text;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::CredentialId;
use keywright_domain::ids::shown;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

const ACTION: &str = "directory.manage";

pub struct SetManagementKey {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl SetManagementKey {
    #[instrument(skip_all, fields(server = shown(server_id), credential = shown(credential_id)))]
    pub async fn run(
        &self,
        caller: &Caller,
        server_id: &str,
        credential_id: &str,
        username: &str,
    ) -> Result<(), Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, server_id).await?;
        let credential =
            CredentialId::parse(credential_id).map_err(|_| find::no_credential(credential_id))?;
        let username = text::username("username", username)?;
        let username = username.ok_or_else(|| Failure::violation("username", "is required"))?;
        let management = Management { credential, username };
        let entry = Entry::new(ACTION)
            .tenant(Some(&server.tenant))
            .target(server_id)
            .detail("credential", credential_id)
            .detail("username", management.username.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let recorded: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let now = find::server_in(&mut tx, &server.id).await?;
                let key = find::credential_in(&mut tx, &management.credential).await?;
                if key.kind != Kind::Managed || key.tenant.is_some() {
                    return Err(find::no_credential(credential_id).into());
                }
                if now.management.as_ref() != Some(&management) {
                    store::server::set_management(&mut tx, &server.id, &management).await?;
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = recorded.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}
