//! Tells credential-store what became of versions, until it knows.
//!
//! Invariant: the recorded state here is the truth; what credential-store was told last stands beside it, and whatever
//! differs is said again. So a revocation may commit while the store is sealed: the destruction follows.

use crate::adapters::credential_store::{Change, CredentialStore};
use crate::model::{Access, Version, VersionState};
use crate::store;
use keywright_domain::ids::RevocationId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use std::time::Duration;

/// How long the answer to a revocation waits for credential-store.
const TOLD_WITHIN: Duration = Duration::from_secs(3);
/// Longer than any request for a key, with its repetitions on the way.
const MAY_STILL_COME: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Custody {
    pub db: Db,
    pub store: CredentialStore,
}

impl Custody {
    /// Everything that credential-store does not know yet.
    pub async fn push(&self, access: &Access, work: Option<&str>) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let mut versions = store::version::of(&mut reader, &access.id).await?;
        drop(reader);
        versions.retain(|version| !version.is_pushed());
        // The old one leaves before the new one comes into use: there is never a second active version.
        versions.sort_by_key(|version| version.state == VersionState::Active);
        for version in &versions {
            self.push_one(access, version, work).await?;
        }
        Ok(())
    }

    /// Before whoever ended the keys is answered: from then on credential-store hands out and signs nothing. What it
    /// cannot hear now it is told by the sweep.
    pub async fn tell_of_the_end(&self, revocation: &RevocationId) {
        let told = tokio::time::timeout(TOLD_WITHIN, async {
            let mut reader = store::reader(&self.db).await?;
            let Some(begun) = store::revocation::find(&mut reader, revocation).await? else { return Ok(()) };
            let access = store::access::find(&mut reader, &begun.access).await?;
            drop(reader);
            match access {
                Some(access) => self.push(&access, Some(revocation.as_str())).await,
                None => Ok(()),
            }
        });
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::info!(reason = failure.reason.as_str(), "ended keys wait for credential-store");
            }
            Err(_) => tracing::info!("ended keys wait for credential-store, which does not answer"),
        }
    }

    /// What came into use there cannot fail any more: it retires. What has ended there stays as it ended.
    async fn end_as_it_is(
        &self,
        access: &Access,
        change: &Change<'_>,
        work: Option<&str>,
        failure: Failure,
    ) -> Result<(), Failure> {
        let state = match failure.metadata.get("state").map(String::as_str) {
            Some("active" | "grace" | "retired") => VersionState::Retired,
            Some("revoked") => VersionState::Revoked,
            Some("failed") => VersionState::Failed,
            _ => return Err(failure),
        };
        let change = Change { state, ..*change };
        self.store.set_state(work, &access.credential, &change).await
    }

    async fn push_one(&self, access: &Access, version: &Version, work: Option<&str>) -> Result<(), Failure> {
        let change = Change {
            version: &version.id,
            state: version.state,
            destroy: version.destroy_at.is_some(),
            compromised: version.compromised_at.is_some(),
        };
        match self.store.set_state(work, &access.credential, &change).await {
            Ok(()) => {}
            // It was never generated: there is nothing to destroy. Or it is being generated at this moment, for whoever
            // asked before it ended here: then it is said again.
            Err(failure)
                if matches!(failure.reason, Reason::VersionNotFound | Reason::CredentialNotFound)
                    && !version.state.is_live() =>
            {
                if version.public_key.is_none()
                    && self.db.now().await? < version.created_at.plus(MAY_STILL_COME)
                {
                    return Ok(());
                }
            }
            // After a restore credential-store may be ahead: its copy was taken after ours.
            Err(failure) if failure.is(Reason::RevisionMismatch) && is_ending(version) => {
                self.end_as_it_is(access, &change, work, failure).await?;
            }
            Err(failure) => return Err(failure),
        }
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("credential-store knows a version's state").await?;
            store::version::pushed(&mut tx, version).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}

const fn is_ending(version: &Version) -> bool {
    !matches!(version.state, VersionState::Staged | VersionState::Active)
}
