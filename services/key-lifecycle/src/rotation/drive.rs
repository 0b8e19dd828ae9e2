//! Drives one rotation: records "started", runs the step, records the outcome, asks the plan again.
//!
//! Invariant: the recorded steps are the truth. What runs at once is for different hosts; the way back begins when
//! everything that ran forward has been recorded.

use super::Converger;
use super::doors::{Ahead, Doors};
use super::plan::{self, Next};
use crate::adapters::credential_store::CredentialStore;
use crate::adapters::door::Door;
use crate::adapters::probe::Probe;
use crate::custody::Custody;
use crate::held::refuse_if_lost;
use crate::model::{Access, Rotation, RotationKind, RotationState, Step, StepName, Version};
use crate::refusals::Refusals;
use crate::store;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{RotationId, ServerId, VersionId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::lease::Lease;
use keywright_storage::{Db, Intent, Tx};
use std::collections::HashSet;
use std::sync::Arc;
use tracing::instrument;

/// Steps of one rotation that run at once.
const AT_ONCE: usize = 8;

#[derive(Clone)]
pub struct Drive {
    pub db: Db,
    pub audit: Audit,
    pub store: CredentialStore,
    pub probe: Probe,
    pub refusals: Refusals,
    pub custody: Custody,
    pub converger: Converger,
    pub ahead: Ahead,
}

/// A rotation as it is recorded at one moment.
pub(super) struct Task {
    pub(super) access: Access,
    pub(super) rotation: Rotation,
    pub(super) steps: Vec<Step>,
    pub(super) versions: Vec<Version>,
    pub(super) now: Instant,
    /// Under which it is driven: whoever has lost it writes nothing any more.
    lease: Option<Lease>,
    doors: Arc<Doors>,
}

impl Task {
    pub(super) fn work(&self) -> &str {
        self.rotation.id.as_str()
    }

    fn version(&self, id: &VersionId) -> Result<&Version, Failure> {
        let found = self.versions.iter().find(|version| version.id == *id);
        found.ok_or_else(|| Failure::new(Reason::Internal, "A version of the access is missing."))
    }

    pub(super) fn new_version(&self) -> Result<&Version, Failure> {
        self.version(&self.rotation.new_version)
    }

    pub(super) fn old_version(&self) -> Result<&Version, Failure> {
        let id = self.rotation.old_version.as_ref();
        self.version(id.ok_or_else(|| Failure::new(Reason::Internal, "The rotation replaces no version."))?)
    }
}

/// The server of a step that has one.
pub(super) fn server_of(step: &Step) -> Result<&ServerId, Failure> {
    step.server.as_ref().ok_or_else(|| Failure::new(Reason::Internal, "The step names no server."))
}

/// What runs now, by the position of its step, with how its record went.
type Running<'a> = FuturesUnordered<BoxFuture<'a, (i64, Result<(), Failure>)>>;

impl Drive {
    /// As far as it goes now. ACCESS_REVOKED: a revocation won. REVISION_MISMATCH: another process has taken it over.
    #[instrument(skip_all, fields(rotation = %id))]
    pub async fn run(&self, id: &RotationId, lease: Option<&Lease>) -> Result<(), Failure> {
        let (mut running, doors) = (Running::new(), self.ahead.take(id));
        let result = self.all_at_once(id, lease, &mut running, &doors).await;
        // What has begun comes to its record, whatever became of the others.
        while running.next().await.is_some() {}
        doors.close().await;
        result
    }

    async fn all_at_once<'a>(
        &'a self,
        id: &RotationId,
        lease: Option<&Lease>,
        running: &mut Running<'a>,
        doors: &Arc<Doors>,
    ) -> Result<(), Failure> {
        let mut busy = HashSet::new();
        let mut back = false;
        loop {
            let Some(task) = self.load(id, lease, doors).await?.map(Arc::new) else { return Ok(()) };
            let next = plan::next(&task.rotation, &task.steps, task.now);
            back &= !busy.is_empty();
            match &next {
                Next::Run(steps) => self.begin(&task, steps, back, &mut busy, running),
                Next::Undo(steps) if back || busy.is_empty() => {
                    back = true;
                    self.begin(&task, steps, back, &mut busy, running);
                }
                other if busy.is_empty() => {
                    if !self.alone(&task, other).await? {
                        return Ok(());
                    }
                    continue;
                }
                _ => {}
            }
            if let Some((position, result)) = running.next().await {
                busy.remove(&position);
                result?;
            }
        }
    }

    /// Starts those that do not run yet, as far as there is room.
    fn begin<'a>(
        &'a self,
        task: &Arc<Task>,
        steps: &[&Step],
        back: bool,
        busy: &mut HashSet<i64>,
        running: &mut Running<'a>,
    ) {
        for step in steps {
            if busy.len() >= AT_ONCE || !busy.insert(step.position) {
                continue;
            }
            let (task, step) = (task.clone(), (*step).clone());
            let work = async move {
                let result = match back {
                    true => self.undo(&task, &step).await,
                    false => self.step(&task, &step).await,
                };
                (step.position, result)
            };
            running.push(work.boxed());
        }
    }

    /// The next step alone; false when nothing is due. What it opened ahead is for a run that follows in this process.
    pub async fn once(&self, id: &RotationId, lease: Option<&Lease>) -> Result<bool, Failure> {
        let doors = self.ahead.take(id);
        let Some(task) = self.load(id, lease, &doors).await? else { return Ok(false) };
        let done = match plan::next(&task.rotation, &task.steps, task.now) {
            Next::Run(steps) => match steps.first() {
                Some(step) => self.step(&task, step).await.map(|()| true),
                None => Ok(false),
            },
            Next::Undo(steps) => match steps.first() {
                Some(step) => self.undo(&task, step).await.map(|()| true),
                None => Ok(false),
            },
            other => self.alone(&task, &other).await,
        };
        self.ahead.leave(id, doors);
        done
    }

    /// What is no step of a host; false when nothing is due.
    async fn alone(&self, task: &Task, next: &Next<'_>) -> Result<bool, Failure> {
        match next {
            Next::TurnBack => self.give_up(task).await?,
            Next::Conclude(state) => self.conclude(task, *state).await?,
            Next::EndGrace => self.end_grace(task).await?,
            Next::Wait(until) => {
                self.look_again(task, Some(*until)).await?;
                return Ok(false);
            }
            Next::Nothing | Next::Run(_) | Next::Undo(_) => {
                self.look_again(task, None).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn load(
        &self,
        id: &RotationId,
        lease: Option<&Lease>,
        doors: &Arc<Doors>,
    ) -> Result<Option<Task>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let Some(rotation) = store::rotation::find(&mut reader, id).await? else { return Ok(None) };
        let access = store::access::find(&mut reader, &rotation.access).await?;
        let access =
            access.ok_or_else(|| Failure::new(Reason::Internal, "The access of a rotation is missing."))?;
        let steps = store::step::of(&mut reader, id).await?;
        let versions = store::version::of(&mut reader, &access.id).await?;
        drop(reader);
        let (now, lease, doors) = (self.db.now().await?, lease.cloned(), doors.clone());
        Ok(Some(Task { access, rotation, steps, versions, now, lease, doors }))
    }

    /// Into a server, by the login that an earlier step of this run has left open.
    pub(super) async fn door(&self, task: &Task, server: &ServerId) -> Result<Door, Failure> {
        task.doors.to(&self.converger, server, task.work()).await
    }

    /// The rotation as it is within the transaction; a revocation that came between ends the work here, and so does
    /// another process that has taken it over: a driver that was held up for long changes nothing.
    pub(super) async fn current(&self, tx: &mut Tx, task: &Task) -> Result<Rotation, Error> {
        refuse_if_lost(tx, task.lease.as_ref()).await?;
        let found = store::rotation::find(tx.conn(), &task.rotation.id).await?;
        match found {
            Some(rotation) if rotation.state != RotationState::Superseded && rotation.next_at.is_some() => {
                Ok(rotation)
            }
            _ => Err(Failure::new(Reason::AccessRevoked, "A revocation ended this rotation.").into()),
        }
    }

    /// While a key is made, the first hosts are entered that it goes to: an account that has keys of ours is there.
    fn look_ahead(&self, task: &Task) {
        let next = task.steps.iter().filter(|step| step.name == StepName::Install && !step.is_done());
        for server in next.filter_map(|step| step.server.as_ref()).take(AT_ONCE) {
            task.doors.open_ahead(&self.converger, server, &task.access, task.work());
        }
    }

    async fn step(&self, task: &Task, step: &Step) -> Result<(), Failure> {
        if step.name == StepName::Generate && task.rotation.kind == RotationKind::Rotate {
            self.look_ahead(task);
        }
        let started = self.db.serialized(|| self.started(task, step)).await?;
        let (intent, result) = match self.intend(task, step).await {
            Ok(intent) => (intent, self.perform(task, &started).await),
            Err(failure) => (None, Err(failure)),
        };
        if let Err(failure) = &result {
            tracing::info!(step = step.name.as_str(), reason = failure.reason.as_str(), "a step failed");
        }
        let before = step.state;
        let recorded =
            self.db.serialized(|| self.record(task, &started, before, intent.as_ref(), &result)).await;
        let recorded = recorded.map_err(Failure::from);
        if let Some(intent) = &intent {
            self.audit.conclude(&self.db, intent, &recorded).await;
        }
        recorded
    }

    /// What changes a host or a key's standing is in the log before it happens. What the peers do they log themselves.
    async fn intend(&self, task: &Task, step: &Step) -> Result<Option<Intent>, Failure> {
        let action = match step.name {
            StepName::Account | StepName::Install | StepName::ExpireOld | StepName::RemoveOld => "host.edit",
            StepName::Promote => "rotation.promote",
            StepName::RetireOld => "rotation.grace_end",
            StepName::Generate
            | StepName::Hold
            | StepName::Prove
            | StepName::DestroyOld
            | StepName::ProveRefused
            | StepName::LetGo => {
                return Ok(None);
            }
        };
        self.intend_work(task, action, step).await.map(Some)
    }

    async fn intend_work(&self, task: &Task, action: &str, step: &Step) -> Result<Intent, Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, task.work());
        let target = step.server.as_ref().map_or(task.access.id.as_str(), ServerId::as_str);
        let entry = Entry::new(action).tenant(Some(&task.access.tenant)).target(target);
        let entry = entry.detail("step", step.name.as_str()).detail("accessId", task.access.id.as_str());
        let entry = entry.detail("account", task.access.account.as_str());
        self.audit.intend(&caller, entry).await
    }

    async fn undo(&self, task: &Task, step: &Step) -> Result<(), Failure> {
        let intent = self.intend_work(task, "host.restore", step).await?;
        let result = self.restore(task, step).await;
        if let Err(failure) = &result {
            tracing::info!(reason = failure.reason.as_str(), "a host could not be restored");
        }
        let recorded = self.db.serialized(|| self.record_undo(task, step, &intent, &result)).await;
        let recorded = recorded.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &recorded).await;
        recorded
    }
}
