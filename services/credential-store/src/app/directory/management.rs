//! Records the management key of a server after key-lifecycle has proven it, and forgets it when the server leaves.

use crate::app::custody::shelf::Shelf;
use crate::app::find;
use crate::domain::credential::Kind;
use crate::domain::server::Management;
use crate::domain::text;
use crate::domain::version::State;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{CredentialId, VersionId, shown};
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome, Tx};
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

/// Clears the management key of a released server, and destroys it.
pub struct ForgetManagementKey {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub shelf: Shelf,
}

impl ForgetManagementKey {
    /// Idempotent: one that is not the server's (any more) is destroyed all the same, if it is nobody else's.
    #[instrument(skip_all, fields(server = shown(server_id), credential = shown(credential_id)))]
    pub async fn run(&self, caller: &Caller, server_id: &str, credential_id: &str) -> Result<(), Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, server_id).await?;
        let credential =
            CredentialId::parse(credential_id).map_err(|_| find::no_credential(credential_id))?;
        let entry =
            Entry::new(ACTION).tenant(Some(&server.tenant)).target(server_id).detail("forget", credential_id);
        let intent = self.audit.intend(caller, entry).await?;
        let forgotten: Result<Vec<VersionId>, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let now = find::server_in(&mut tx, &server.id).await?;
                if now.management.is_some_and(|management| management.credential == credential) {
                    store::server::clear_management(&mut tx, &server.id).await?;
                }
                let doomed = self.doom(&mut tx, &credential, server_id).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(doomed)
            })
            .await;
        let result = forgotten.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        for version in &result? {
            self.shelf.bury(version).await;
        }
        Ok(())
    }

    /// Only what was made for this server.
    async fn doom(&self, tx: &mut Tx, id: &CredentialId, server: &str) -> Result<Vec<VersionId>, Error> {
        let found = store::credential::find_in(tx, id).await?;
        let ours = found.is_some_and(|key| {
            key.kind == Kind::Managed && key.tenant.is_none() && key.owner.as_deref() == Some(server)
        });
        if !ours {
            return Ok(Vec::new());
        }
        let versions = store::version::list_in(tx, id).await?;
        for version in &versions {
            let end = if version.state == State::Staged { State::Failed } else { State::Retired };
            if version.state.is_live() {
                store::version::set_state(tx, &version.id, end).await?;
            }
            if version.destroyed_at.is_none() {
                self.shelf.doom(tx, &version.id).await?;
            }
        }
        store::credential::set_current(tx, id, None).await?;
        let left = versions.into_iter().filter(|version| version.destroyed_at.is_none());
        Ok(left.map(|version| version.id).collect())
    }
}
