//! Drives one rotation: records "started", runs the step, records the outcome, asks the plan again.

use super::Converger;
use super::plan::{self, AfterFailure, Next};
use super::told;
use crate::adapters::credential_store::CredentialStore;
use crate::adapters::probe::Probe;
use crate::custody::Custody;
use crate::model::{
    Access, LineState, Rotation, RotationKind, RotationState, Step, StepName, StepState, Version,
    VersionState,
};
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{RotationId, ServerId, VersionId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

#[derive(Clone)]
pub struct Drive {
    pub db: Db,
    pub audit: Audit,
    pub store: CredentialStore,
    pub probe: Probe,
    pub custody: Custody,
    pub converger: Converger,
}

/// A rotation as it is recorded at one moment.
pub(super) struct Task {
    pub(super) access: Access,
    pub(super) rotation: Rotation,
    pub(super) steps: Vec<Step>,
    pub(super) versions: Vec<Version>,
    pub(super) now: Instant,
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

/// Whether the connection ended before there was a session: nothing on the host can have been touched.
fn never_entered(failure: &Failure) -> bool {
    const BEFORE_A_SESSION: [&str; 5] = ["dns", "tcp", "handshake", "host-key", "authentication"];
    // Since a restore nobody knows what the host has: it was not even dialled.
    failure.is(Reason::RecoveryMode)
        || failure.metadata.get("check").is_some_and(|stage| BEFORE_A_SESSION.contains(&stage.as_str()))
}

impl Drive {
    /// As far as it goes now. ACCESS_REVOKED: a revocation won.
    #[instrument(skip_all, fields(rotation = %id))]
    pub async fn run(&self, id: &RotationId) -> Result<(), Failure> {
        while self.once(id).await? {}
        Ok(())
    }

    /// The next step alone; false when nothing is due.
    pub async fn once(&self, id: &RotationId) -> Result<bool, Failure> {
        let Some(task) = self.load(id).await? else { return Ok(false) };
        match plan::next(&task.rotation, &task.steps, task.now) {
            Next::Run(step) => self.step(&task, step).await?,
            Next::Undo(step) => self.undo(&task, step).await?,
            Next::Conclude(state) => self.conclude(&task, state).await?,
            Next::EndGrace => self.end_grace(&task).await?,
            Next::Wait(until) => {
                self.look_again(&task, Some(until)).await?;
                return Ok(false);
            }
            Next::Nothing => {
                self.look_again(&task, None).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn load(&self, id: &RotationId) -> Result<Option<Task>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let Some(rotation) = store::rotation::find(&mut reader, id).await? else { return Ok(None) };
        let access = store::access::find(&mut reader, &rotation.access).await?;
        let access =
            access.ok_or_else(|| Failure::new(Reason::Internal, "The access of a rotation is missing."))?;
        let steps = store::step::of(&mut reader, id).await?;
        let versions = store::version::of(&mut reader, &access.id).await?;
        drop(reader);
        Ok(Some(Task { access, rotation, steps, versions, now: self.db.now().await? }))
    }

    /// The rotation as it is within the transaction; a revocation that came between ends the work here.
    pub(super) async fn current(&self, tx: &mut Tx, id: &RotationId) -> Result<Rotation, Error> {
        let found = store::rotation::find(tx.conn(), id).await?;
        match found {
            Some(rotation) if rotation.state != RotationState::Superseded && rotation.next_at.is_some() => {
                Ok(rotation)
            }
            _ => Err(Failure::new(Reason::AccessRevoked, "A revocation ended this rotation.").into()),
        }
    }

    async fn step(&self, task: &Task, step: &Step) -> Result<(), Failure> {
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

    async fn started(&self, task: &Task, step: &Step) -> Result<Step, Error> {
        let mut tx = self.db.begin_internal("a step begins").await?;
        self.current(&mut tx, &task.rotation.id).await?;
        let mut started = step.clone();
        started.state = StepState::Started;
        started.started_at = started.started_at.or(Some(tx.now()));
        started.attempts = started.attempts.saturating_add(1);
        store::step::update(&mut tx, &task.rotation.id, &started).await?;
        tx.commit().await?;
        Ok(started)
    }

    /// What changes a host or a key's standing is in the log before it happens. What the peers do they log themselves.
    async fn intend(&self, task: &Task, step: &Step) -> Result<Option<Intent>, Failure> {
        let action = match step.name {
            StepName::Account | StepName::Install | StepName::ExpireOld | StepName::RemoveOld => "host.edit",
            StepName::Promote => "rotation.promote",
            StepName::RetireOld => "rotation.grace_end",
            StepName::Generate | StepName::Prove | StepName::DestroyOld | StepName::ProveRefused => {
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
        self.audit.intend(&caller, entry).await
    }

    async fn record(
        &self,
        task: &Task,
        step: &Step,
        before: StepState,
        intent: Option<&Intent>,
        result: &Result<(), Failure>,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("a step ends").await?;
        let mut rotation = self.current(&mut tx, &task.rotation.id).await?;
        let mut step = step.clone();
        let now = tx.now();
        let outcome = match result {
            Ok(()) => {
                // The grace may have been extended since: then the host was told an end that holds no more.
                let stale =
                    step.name == StepName::ExpireOld && rotation.grace_ends_at != task.rotation.grace_ends_at;
                step.state = if stale { StepState::Pending } else { StepState::Done };
                step.finished_at = Some(now);
                step.reason.clear();
                step.message.clear();
                Outcome::succeeded()
            }
            Err(failure) => {
                step.state = StepState::Failed;
                step.reason = failure.reason.as_str().to_owned();
                step.message.clone_from(&failure.message);
                // A host that no try has entered needs no way back.
                let untouched =
                    step.name == StepName::Install && before == StepState::Pending && never_entered(failure);
                match plan::after_failure(&step, rotation.promoted_at.is_some(), failure.reason) {
                    AfterFailure::Again(pause) => {
                        step.not_before = now.plus(pause);
                        step.state = if untouched { StepState::Pending } else { step.state };
                    }
                    AfterFailure::Back => {
                        self.turn_back(&mut tx, &mut rotation, failure).await?;
                        if untouched {
                            step.state = StepState::Undone;
                            let (server, version) = (server_of(&step)?, &rotation.new_version);
                            store::line::set_state(&mut tx, server, version, LineState::Absent).await?;
                        }
                    }
                }
                Outcome::failed(failure.reason.as_str())
            }
        };
        store::step::update(&mut tx, &rotation.id, &step).await?;
        store::rotation::update(&mut tx, &rotation).await?;
        store::access::touch(&mut tx, &rotation.access).await?;
        if let Some(intent) = intent {
            intent.done(&mut tx, outcome.with("rotationId", rotation.id.as_str())).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The new key will not come into use: it is destroyed, and the hosts are restored.
    async fn turn_back(&self, tx: &mut Tx, rotation: &mut Rotation, failure: &Failure) -> Result<(), Error> {
        rotation.failing_at = Some(tx.now());
        rotation.reason = failure.reason.as_str().to_owned();
        rotation.message.clone_from(&failure.message);
        store::version::set_state(tx, &rotation.new_version, VersionState::Failed).await?;
        store::version::destroy(tx, &rotation.new_version).await?;
        Ok(store::line::remove(tx, &rotation.new_version).await?)
    }

    async fn undo(&self, task: &Task, step: &Step) -> Result<(), Failure> {
        let intent = self.intend_work(task, "host.restore", step).await?;
        let result = self.restore(task, step).await;
        let recorded = self.db.serialized(|| self.record_undo(task, step, &intent, &result)).await;
        let recorded = recorded.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &recorded).await;
        recorded
    }

    async fn record_undo(
        &self,
        task: &Task,
        step: &Step,
        intent: &Intent,
        result: &Result<(), Failure>,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("a host was restored").await?;
        let rotation = self.current(&mut tx, &task.rotation.id).await?;
        let mut step = step.clone();
        let now = tx.now();
        let outcome = match result {
            Ok(()) => {
                step.state = StepState::Undone;
                step.finished_at = Some(now);
                let server = server_of(&step)?;
                store::line::set_state(&mut tx, server, &rotation.new_version, LineState::Absent).await?;
                Outcome::succeeded()
            }
            Err(failure) => {
                step.undo_attempts = step.undo_attempts.saturating_add(1);
                step.not_before = now.plus(plan::pause(step.undo_attempts));
                Outcome::failed(failure.reason.as_str())
            }
        };
        store::step::update(&mut tx, &rotation.id, &step).await?;
        intent.done(&mut tx, outcome.with("rotationId", rotation.id.as_str())).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn conclude(&self, task: &Task, state: RotationState) -> Result<(), Failure> {
        let unborn = state == RotationState::Failed && task.rotation.kind == RotationKind::Provision;
        if state == RotationState::Failed {
            // What is not destroyed now follows: the sweep says it again.
            if let Err(failure) = self.custody.push(&task.access, Some(task.work())).await {
                tracing::info!(
                    reason = failure.reason.as_str(),
                    "a failed version waits for its destruction"
                );
            }
        }
        if unborn {
            self.let_go(task).await?;
        }
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a rotation ends").await?;
            let mut rotation = self.current(&mut tx, &task.rotation.id).await?;
            rotation.state = state;
            rotation.finished_at = Some(tx.now());
            if state != RotationState::Succeeded {
                rotation.next_at = None;
            }
            store::rotation::update(&mut tx, &rotation).await?;
            if let Some(notice) = told::ended(&rotation) {
                store::notice::write(&mut tx, &notice).await?;
            }
            if unborn {
                store::access::close(&mut tx, &rotation.access).await?;
            } else {
                store::access::touch(&mut tx, &rotation.access).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn end_grace(&self, task: &Task) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a grace has ended").await?;
            let mut rotation = self.current(&mut tx, &task.rotation.id).await?;
            rotation.grace_ended_at = Some(tx.now());
            store::rotation::update(&mut tx, &rotation).await?;
            store::access::touch(&mut tx, &rotation.access).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// When the worker is to look at it again. Another rotation may have dropped the grace meanwhile, and then that is
    /// when.
    async fn look_again(&self, task: &Task, at: Option<Instant>) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("when a rotation is due").await?;
            let found = store::rotation::find(tx.conn(), &task.rotation.id).await?;
            let unchanged =
                |now: &Rotation| now.next_at.is_some() && now.grace_ends_at == task.rotation.grace_ends_at;
            if let Some(mut rotation) = found.filter(unchanged) {
                rotation.next_at = at;
                store::rotation::update(&mut tx, &rotation).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// After a failure outside of any step: the log, the database or a peer did not answer.
    pub async fn pause(&self, id: &RotationId, span: std::time::Duration) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a rotation is put off").await?;
            let found = store::rotation::find(tx.conn(), id).await?;
            if let Some(mut rotation) = found.filter(Rotation::is_open) {
                rotation.next_at = Some(tx.now().plus(span));
                store::rotation::update(&mut tx, &rotation).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}
