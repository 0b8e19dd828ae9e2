//! Moves a managed version to a state, and destroys its private half where asked.
//!
//! Invariants: a revocation is accepted with the audit log and the secret store down; from its commit on the version is
//! neither signed with nor released. The management key of a server does not end as long as the server has it: of two
//! that are at it, the one that was held up for long cannot take the last way in.

use super::shelf::Shelf;
use crate::app::find;
use crate::domain::version::{State, Version};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::clock::Clock;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, VersionId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "custody.state";

pub struct SetVersionState {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub shelf: Shelf,
    pub clock: Clock,
}

#[derive(Debug, Clone, Copy)]
pub struct Move {
    pub state: State,
    pub destroy: bool,
    pub compromised: bool,
}

impl SetVersionState {
    #[instrument(skip_all, fields(credential = shown(credential_id), version = shown(version_id), state = wanted.state.as_str()))]
    pub async fn run(
        &self,
        caller: &Caller,
        credential_id: &str,
        version_id: &str,
        wanted: Move,
    ) -> Result<Version, Failure> {
        let credential = find::managed(&self.db, &self.guard, caller, ACTION, credential_id).await?;
        let version = VersionId::parse(version_id).map_err(|_| find::no_version(version_id))?;
        let mut entry = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(credential.id.as_str())
            .detail("version", version.as_str())
            .detail("state", wanted.state.as_str());
        if wanted.compromised {
            entry = entry.detail("compromised", "true");
        }
        let intent = match wanted.state {
            State::Revoked => self.audit.intend_or_spool(caller, entry, self.clock.now()).await?,
            _ => self.audit.intend(caller, entry).await?,
        };
        let result = self.apply(&credential.id, &version, wanted, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result?;
        if wanted.destroy {
            self.shelf.bury(&version).await;
        }
        let now = store::version::find(&self.db, &credential.id, &version).await?;
        now.ok_or_else(|| find::no_version(version_id))
    }

    async fn apply(
        &self,
        credential: &CredentialId,
        id: &VersionId,
        wanted: Move,
        intent: &Intent,
    ) -> Result<(), Failure> {
        let moved: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                self.advance(&mut tx, credential, id, wanted).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        Ok(moved?)
    }

    async fn advance(
        &self,
        tx: &mut Tx,
        credential: &CredentialId,
        id: &VersionId,
        wanted: Move,
    ) -> Result<(), Error> {
        let owner = find::credential_in(tx, credential).await?;
        let version = store::version::find_in(tx, credential, id).await?;
        let version = version.ok_or_else(|| find::no_version(id.as_str()))?;
        if !version.state.may_become(wanted.state) {
            let refusal =
                Failure::new(Reason::RevisionMismatch, "A version in its present state does not go there.");
            return Err(refusal
                .with("state", version.state.as_str())
                .with("wanted", wanted.state.as_str())
                .into());
        }
        if owner.tenant.is_none() && (wanted.destroy || !wanted.state.is_live()) {
            refuse_in_use(tx, credential).await?;
        }
        if version.state != wanted.state {
            store::version::set_state(tx, id, wanted.state).await?;
        }
        let is_current = owner.current.is_some_and(|current| current.id == *id);
        match wanted.state {
            State::Active if !is_current => store::credential::set_current(tx, credential, Some(id)).await?,
            State::Retired | State::Revoked | State::Failed if is_current => {
                store::credential::set_current(tx, credential, None).await?;
            }
            _ => {}
        }
        if wanted.compromised {
            store::version::compromised(tx, &version).await?;
        }
        if wanted.destroy && version.destroyed_at.is_none() {
            self.shelf.doom(tx, id).await?;
        }
        Ok(())
    }
}

async fn refuse_in_use(tx: &mut Tx, credential: &CredentialId) -> Result<(), Error> {
    let Some(server) = store::server::managed_by(tx, credential).await? else { return Ok(()) };
    let refusal = Failure::new(Reason::RevisionMismatch, "The key is the management key of a server.");
    Err(refusal.with("serverId", server.as_str()).into())
}
