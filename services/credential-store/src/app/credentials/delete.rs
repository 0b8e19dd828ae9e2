//! Deletes a saved credential that nothing uses, and destroys its key.

use super::read::{usage, usage_in};
use crate::app::custody::shelf::Shelf;
use crate::app::find;
use crate::app::replayed::earlier_answer;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, VersionId};
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::idempotency::{Answer, keep, replay};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "credential.delete";

pub struct DeleteCredential {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub shelf: Shelf,
}

impl DeleteCredential {
    #[instrument(skip_all, fields(credential = shown(id)))]
    pub async fn run<T: Answer>(
        &self,
        caller: &Caller,
        id: &str,
        confirmation: &str,
        scope: Option<Scope>,
    ) -> Result<T, Failure> {
        // The first request deleted the credential: its answer is all that is left to find.
        if let Some(first) = earlier_answer(&self.db, scope.as_ref()).await? {
            return Ok(first);
        }
        let credential = find::saved(&self.db, &self.guard, caller, ACTION, id).await?;
        let entry = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(id)
            .detail("name", credential.name.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.delete(&credential.id, confirmation, scope.as_ref(), &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        let (answer, destroyed) = result?;
        for version in &destroyed {
            self.shelf.bury(version).await;
        }
        Ok(answer)
    }

    async fn delete<T: Answer>(
        &self,
        id: &CredentialId,
        confirmation: &str,
        scope: Option<&Scope>,
        intent: &Intent,
    ) -> Result<(T, Vec<VersionId>), Failure> {
        find::confirmed(confirmation, id.as_str())?;
        usage(&self.db, id).await?.allow_deletion()?;
        self.shelf.ready().await?;
        let deleted: Result<(T, Vec<VersionId>), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                if let Some(first) = replay(&mut tx, scope).await? {
                    intent.done(&mut tx, Outcome::succeeded().with("replayed", "true")).await?;
                    tx.commit().await?;
                    return Ok((first, Vec::new()));
                }
                find::credential_in(&mut tx, id).await?;
                usage_in(&mut tx, id).await?.allow_deletion()?;
                let versions = store::version::list_in(&mut tx, id).await?;
                let left = versions.into_iter().filter(|version| version.destroyed_at.is_none());
                let left: Vec<VersionId> = left.map(|version| version.id).collect();
                for version in &left {
                    self.shelf.doom(&mut tx, version).await?;
                }
                store::credential::delete(&mut tx, id).await?;
                let answer = T::default();
                keep(&mut tx, scope, &answer).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok((answer, left))
            })
            .await;
        Ok(deleted?)
    }
}
