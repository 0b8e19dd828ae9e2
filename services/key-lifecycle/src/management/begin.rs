//! Begins the rotation of a management key: its row, from which whoever holds its lease goes on.

use super::drive::Keys;
use crate::adapters::credential_store::Server;
use crate::app::gates;
use crate::model::{Management, ManagementKind, ManagementState};
use crate::recovery;
use crate::store;
use keywright_domain::caller::{Caller, PrincipalKind};
use keywright_domain::ids::{CredentialId, ManagementId, VersionId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Entry;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Intent, Outcome, Tx};

impl Keys {
    /// One that runs on the server is answered.
    pub async fn begin(
        &self,
        caller: &Caller,
        server: &Server,
        comment: &str,
    ) -> Result<ManagementId, Failure> {
        let entry = Entry::new("server.rotate_management").tenant(Some(&server.tenant));
        let entry = entry.target(server.id.as_str()).comment(comment);
        let intent = self.audit.intend(caller, entry).await?;
        let (id, credential, version) =
            (ManagementId::random()?, CredentialId::random()?, VersionId::random()?);
        let fresh = |username: String, tx: &Tx| {
            let keys = (credential.clone(), version.clone());
            let (id, server_id) = (id.clone(), server.id.clone());
            let begun = Management::new(id, server_id, keys, username, ManagementKind::Rotate, tx.now());
            Management { tenant: Some(server.tenant.clone()), comment: comment.to_owned(), ..begun }
        };
        let automatic = caller.principal.kind == PrincipalKind::System;
        let begun = self.db.serialized(|| self.record(server, automatic, &intent, &fresh)).await;
        let begun = begun.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &begun).await;
        begun
    }

    async fn record(
        &self,
        server: &Server,
        automatic: bool,
        intent: &Intent,
        fresh: &impl Fn(String, &Tx) -> Management,
    ) -> Result<ManagementId, Error> {
        let mut tx = self.db.begin(intent).await?;
        recovery::refuse_in(tx.conn()).await?;
        if automatic && store::freeze::is_frozen(tx.conn(), &server.tenant).await? {
            return Err(Failure::new(Reason::Frozen, "Automatic work is stopped.").into());
        }
        let known = store::management::of(tx.conn(), &server.id).await?;
        let id = match known.iter().find(|key| key.state == ManagementState::Running) {
            Some(running) if running.kind == ManagementKind::Rotate => running.id.clone(),
            Some(running) => {
                let failure =
                    Failure::new(Reason::RequestInProgress, "A management key is being installed there.");
                return Err(failure.with("managementId", running.id.as_str()).into());
            }
            None => {
                gates::stays_managed(tx.conn(), &server.id).await?;
                let Some((_, username)) = &server.management else {
                    return Err(
                        Failure::new(Reason::ServerNotManaged, "The server has no management key.").into()
                    );
                };
                let management = fresh(username.clone(), &tx);
                let now = tx.now();
                store::management::insert(&mut tx, &management, now).await?;
                management.id
            }
        };
        intent.done(&mut tx, Outcome::succeeded().with("managementId", id.as_str())).await?;
        tx.commit().await?;
        Ok(id)
    }
}
