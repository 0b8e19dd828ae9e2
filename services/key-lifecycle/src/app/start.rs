//! How every rotation begins: its rows in one transaction, then its first step while the caller waits, so that a store
//! that is sealed refuses at once.

use super::possession::{self, ClientKey};
use crate::model::{Access, Origin, Rotation, RotationKind, RotationState, StepName};
use crate::rotation::{Drive, plan, told};
use crate::store;
use keywright_domain::ids::{RotationId, ServerId, VersionId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::repeat;
use keywright_storage::idempotency::{self, Scope};
use keywright_storage::{Db, Intent, Outcome, Tx, lease};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How long the first step may take before the worker does it again.
const FIRST_STEP: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Starter {
    pub db: Db,
    pub drive: Drive,
    pub wake: Arc<Notify>,
    /// Who holds the leases of this process.
    pub owner: String,
}

/// What a new rotation is to do.
pub(super) struct Plan<'a> {
    pub(super) access: &'a Access,
    pub(super) kind: RotationKind,
    pub(super) old: Option<&'a VersionId>,
    pub(super) grace: Duration,
    pub(super) drops: Option<RotationId>,
    pub(super) comment: &'a str,
    pub(super) servers: &'a [ServerId],
    /// None where a person or another service asked for it.
    pub(super) origin: Option<&'a Origin>,
    /// None where Keywright makes the key.
    pub(super) client_key: Option<&'a ClientKey>,
}

/// What the first transaction did.
pub(super) enum Recorded {
    Begun(RotationId),
    /// The same request began it before.
    Before(RotationId),
}

/// The rotation that the same request began before.
pub(super) async fn earlier(
    tx: &mut Tx,
    intent: &Intent,
    scope: Option<&Scope>,
) -> Result<Option<RotationId>, Error> {
    let Some(id) = repeat::first_answer(tx, scope).await? else { return Ok(None) };
    let id = RotationId::parse(&id).map_err(|_| Failure::not_found(Reason::RotationNotFound, &id))?;
    intent.done(tx, Outcome::succeeded().with("rotationId", id.as_str())).await?;
    Ok(Some(id))
}

impl Starter {
    /// The rows: version (its id durable before anybody generates it), rotation, steps, the answer to a repetition.
    pub(super) async fn record(
        &self,
        tx: &mut Tx,
        wanted: Plan<'_>,
        scope: Option<&Scope>,
        answer: Option<&str>,
    ) -> Result<RotationId, Error> {
        let id = RotationId::random()?;
        // A host that comes or goes changes no key: then the version is the one in use.
        let kept = wanted.old.filter(|_| !wanted.kind.brings_a_key());
        let version = kept.map_or_else(VersionId::random, |kept| Ok(kept.clone()))?;
        let removes = wanted.kind == RotationKind::RemoveHost;
        let (tenant, access) = (&wanted.access.tenant, &wanted.access.id);
        let settings = store::policy::effective(tx.conn(), tenant, Some(access)).await?;
        match wanted.client_key {
            Some(key) => possession::prove(tx, tenant, key).await?,
            None if settings.client_made_required && kept.is_none() => {
                let what = "The policy allows only keys that their holder makes: send its public half.";
                return Err(Failure::new(Reason::PolicyForbids, what).into());
            }
            None => {}
        }
        let rotation = Rotation {
            id: id.clone(),
            tenant: tenant.clone(),
            access: access.clone(),
            kind: wanted.kind,
            state: if removes { RotationState::Converging } else { RotationState::Running },
            old_version: wanted.old.cloned(),
            new_version: version.clone(),
            grace: wanted.grace,
            drops: wanted.drops,
            comment: wanted.comment.to_owned(),
            created_at: tx.now(),
            promoted_at: removes.then_some(tx.now()),
            grace_ends_at: None,
            grace_ended_at: None,
            finished_at: None,
            failing_at: None,
            reason: String::new(),
            message: String::new(),
            next_at: Some(tx.now()),
            automatic: wanted.origin.is_some(),
            campaign: wanted.origin.and_then(Origin::campaign).cloned(),
            server: kept.and(wanted.servers.first()).cloned(),
            leaves_behind: settings.promote_with_outstanding && wanted.kind.brings_a_key(),
            grace_extended_at: None,
        };
        let steps = plan::steps_for(wanted.kind, wanted.old.is_some(), wanted.grace, wanted.servers);
        if kept.is_none() {
            let algorithm = wanted.client_key.map_or(settings.key_algorithm, |key| key.public.algorithm());
            store::access::set_algorithm(tx, access, algorithm).await?;
            store::version::insert(tx, &rotation.access, &version).await?;
        }
        if let Some(key) = wanted.client_key {
            store::version::offered(tx, &version, &key.public).await?;
        }
        store::rotation::insert(tx, &rotation).await?;
        store::step::insert(tx, &id, &steps).await?;
        store::notice::write(tx, &told::started(&rotation)).await?;
        store::access::touch(tx, &rotation.access).await?;
        repeat::remember(tx, scope, answer.unwrap_or(id.as_str())).await?;
        Ok(id)
    }

    /// What was recorded takes its course.
    pub(super) async fn follow(
        &self,
        recorded: Recorded,
        intent: &Intent,
        scope: Option<&Scope>,
    ) -> Result<RotationId, Failure> {
        match recorded {
            Recorded::Before(rotation) => Ok(rotation),
            Recorded::Begun(rotation) => {
                self.begin(&rotation, intent, scope).await?;
                Ok(rotation)
            }
        }
    }

    /// Runs the first step; a refusal by the store is the caller's answer, and the idempotency key is free again.
    pub(super) async fn begin(
        &self,
        id: &RotationId,
        intent: &Intent,
        scope: Option<&Scope>,
    ) -> Result<(), Failure> {
        let lease = lease::acquire(&self.db, id.as_str(), &self.owner, FIRST_STEP).await?;
        if lease.is_some() {
            self.drive_on(self.drive.once(id, lease.as_ref()).await.map(drop));
        }
        let refusal = self.db.serialized(|| self.begun(id, intent, scope)).await?;
        if let Some(lease) = &lease {
            // Nothing was touched: a refused rotation ends here, so that the same may be asked for again at once.
            if refusal.is_some() {
                self.drive_on(self.drive.run(id, Some(lease)).await);
            }
            lease::release(&self.db, lease).await?;
        }
        self.wake.notify_one();
        refusal.map_or(Ok(()), Err)
    }

    /// What fails here is driven on by the worker.
    fn drive_on(&self, result: Result<(), Failure>) {
        if let Err(failure) = result {
            tracing::debug!(reason = failure.reason.as_str(), "the worker drives on");
        }
    }

    async fn begun(
        &self,
        id: &RotationId,
        intent: &Intent,
        scope: Option<&Scope>,
    ) -> Result<Option<Failure>, Error> {
        let mut tx = self.db.begin(intent).await?;
        let refusal = match store::rotation::find(tx.conn(), id).await? {
            Some(rotation) if rotation.failing_at.is_some() => {
                let steps = store::step::of(tx.conn(), id).await?;
                let untouched = steps.iter().any(|step| step.name == StepName::Generate && !step.is_done());
                let reason = Reason::parse(&rotation.reason).unwrap_or(Reason::Internal);
                untouched.then(|| Failure::new(reason, rotation.message).with("rotationId", id.as_str()))
            }
            _ => None,
        };
        match (&refusal, scope) {
            (None, _) => intent.done(&mut tx, Outcome::succeeded().with("rotationId", id.as_str())).await?,
            (Some(_), Some(scope)) => idempotency::forget(&mut tx, scope).await?,
            (Some(_), None) => {}
        }
        tx.commit().await?;
        Ok(refusal)
    }
}
