//! What the driver records: each function is one transaction, or ends in one.

use super::drive::{Drive, Task, server_of};
use super::plan::{self, AfterFailure, Failed};
use super::{receipt, told, undo};
use crate::adapters::hosts::{Edited, UNTOUCHED};
use crate::model::{
    LineState, Rotation, RotationKind, RotationState, Step, StepName, StepState, VersionState,
};
use crate::refusals::turn_of;
use crate::store;
use keywright_domain::clock::Instant;
use keywright_domain::ids::RotationId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Intent, Outcome, Tx};
use std::time::Duration;

/// Nothing on the host was touched: the editor refused the file, or the connection ended before there was a session.
fn touched_nothing(failure: &Failure) -> bool {
    const BEFORE_A_SESSION: [&str; 5] = ["dns", "tcp", "handshake", "host-key", "authentication"];
    // Since a restore nobody knows what the host has: it was not even dialled.
    failure.is(Reason::RecoveryMode)
        || failure.metadata.contains_key(UNTOUCHED)
        || failure.metadata.get("check").is_some_and(|stage| BEFORE_A_SESSION.contains(&stage.as_str()))
}

/// Nobody was there, or he went away. A host that knows us and refuses is not unreachable.
fn is_unreachable(failure: &Failure) -> bool {
    failure.is(Reason::HostUnreachable)
        && failure.metadata.get("check").is_none_or(|stage| stage != "authentication")
}

impl Drive {
    pub(super) async fn started(&self, task: &Task, step: &Step) -> Result<Step, Error> {
        let mut tx = self.db.begin_internal("a step begins").await?;
        self.current(&mut tx, task).await?;
        let mut started = step.clone();
        started.state = StepState::Started;
        started.started_at = started.started_at.or(Some(tx.now()));
        started.attempts = started.attempts.saturating_add(1);
        store::step::update(&mut tx, &task.rotation.id, &started).await?;
        tx.commit().await?;
        Ok(started)
    }

    pub(super) async fn record(
        &self,
        task: &Task,
        step: &Step,
        before: StepState,
        intent: Option<&Intent>,
        result: &Result<Option<Edited>, Failure>,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("a step ends").await?;
        let mut rotation = self.current(&mut tx, task).await?;
        let outcome = match result {
            Ok(edited) => receipt::told(Outcome::succeeded(), edited.as_ref()),
            Err(failure) => Outcome::failed(failure.reason.as_str()),
        };
        let recorded = store::step::find(tx.conn(), &rotation.id, step.position).await?;
        // The host left the access meanwhile: what was done there counts no more.
        if recorded.is_some_and(|recorded| recorded.state != StepState::Undone) {
            let unchanged = rotation.clone();
            let mut step = step.clone();
            match result {
                Ok(_) => done(&mut step, &rotation, task, tx.now()),
                Err(failure) => failed(&mut tx, &mut step, &mut rotation, before, failure).await?,
            }
            store::step::update(&mut tx, &rotation.id, &step).await?;
            if rotation != unchanged {
                store::rotation::update(&mut tx, &rotation).await?;
            }
        }
        store::access::touch(&mut tx, &rotation.access).await?;
        if let Some(intent) = intent {
            intent.done(&mut tx, outcome.with("rotationId", rotation.id.as_str())).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn record_undo(
        &self,
        task: &Task,
        step: &Step,
        intent: &Intent,
        result: &Result<Option<Edited>, Failure>,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("a host was restored").await?;
        let rotation = self.current(&mut tx, task).await?;
        let mut step = step.clone();
        let now = tx.now();
        let outcome = match result {
            Ok(edited) => {
                step.state = StepState::Undone;
                step.finished_at = Some(now);
                absent(&mut tx, &rotation, &step).await?;
                receipt::told(Outcome::succeeded(), edited.as_ref())
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

    /// Every host was tried, and none could be reached.
    pub(super) async fn give_up(&self, task: &Task) -> Result<(), Failure> {
        let why = Failure::new(Reason::HostUnreachable, "None of the hosts can be reached.");
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a rotation turns back").await?;
            let mut rotation = self.current(&mut tx, task).await?;
            undo::turn_back(&mut tx, &mut rotation, &why).await?;
            store::rotation::update(&mut tx, &rotation).await?;
            store::access::touch(&mut tx, &rotation.access).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    pub(super) async fn conclude(&self, task: &Task, state: RotationState) -> Result<(), Failure> {
        let failed = state == RotationState::Failed;
        let unborn = failed && task.rotation.kind == RotationKind::Provision;
        let unjoined = failed && task.rotation.kind == RotationKind::AddHost;
        if failed && task.rotation.brings_a_key() {
            // What is not destroyed now follows: the sweep says it again.
            if let Err(failure) = self.custody.push(&task.access, Some(task.work())).await {
                tracing::info!(
                    reason = failure.reason.as_str(),
                    "a failed version waits for its destruction"
                );
            }
        }
        if unborn || unjoined {
            self.let_go(task).await?;
        }
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a rotation ends").await?;
            let mut rotation = self.current(&mut tx, task).await?;
            rotation.state = state;
            rotation.finished_at = Some(tx.now());
            if state != RotationState::Succeeded {
                rotation.next_at = None;
            }
            store::rotation::update(&mut tx, &rotation).await?;
            if let Some(notice) = told::ended(&rotation) {
                store::notice::write(&mut tx, &notice).await?;
            }
            match &rotation.server {
                _ if unborn => store::access::close(&mut tx, &rotation.access).await?,
                Some(server) if unjoined => {
                    store::access::host_left(&mut tx, &rotation.access, server).await?;
                }
                Some(_) if rotation.kind == RotationKind::AddHost => {
                    end_graces_too(&mut tx, &rotation).await?
                }
                _ => {}
            }
            store::access::touch(&mut tx, &rotation.access).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    pub(super) async fn end_grace(&self, task: &Task) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a grace has ended").await?;
            let mut rotation = self.current(&mut tx, task).await?;
            rotation.grace_ended_at = Some(tx.now());
            store::rotation::update(&mut tx, &rotation).await?;
            store::access::touch(&mut tx, &rotation.access).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// When the worker is to look at it again. What changed meanwhile (another rotation dropped the grace, a further host
    /// has the old key) has said when by itself.
    pub(super) async fn look_again(&self, task: &Task, at: Option<Instant>) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("when a rotation is due").await?;
            let found = store::rotation::find(tx.conn(), &task.rotation.id).await?;
            let unchanged = |now: &Rotation| now.next_at.is_some() && *now == task.rotation;
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
    pub async fn pause(&self, id: &RotationId, span: Duration) -> Result<(), Failure> {
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

fn done(step: &mut Step, rotation: &Rotation, task: &Task, now: Instant) {
    // The grace may have been extended since: then the host was told an end that holds no more.
    let stale = step.name == StepName::ExpireOld && rotation.grace_ends_at != task.rotation.grace_ends_at;
    step.state = if stale { StepState::Pending } else { StepState::Done };
    step.finished_at = Some(now);
    step.reason.clear();
    step.message.clear();
    step.unreached = 0;
}

async fn failed(
    tx: &mut Tx,
    step: &mut Step,
    rotation: &mut Rotation,
    before: StepState,
    failure: &Failure,
) -> Result<(), Error> {
    let unreachable = is_unreachable(failure);
    step.state = StepState::Failed;
    step.reason = failure.reason.as_str().to_owned();
    step.message.clone_from(&failure.message);
    if let Some(turn) = turn_of(failure) {
        step.attempts = step.attempts.saturating_sub(1);
        step.not_before = turn;
        return Ok(());
    }
    step.unreached = if unreachable { step.unreached.saturating_add(1) } else { 0 };
    // A host on which no try has changed anything needs no way back.
    let untouched =
        step.name == StepName::Install && before == StepState::Pending && touched_nothing(failure);
    match plan::after_failure(rotation, step, Failed { reason: failure.reason, unreachable }) {
        AfterFailure::Again(pause) => {
            step.not_before = tx.now().plus(pause);
            step.state = if untouched { StepState::Pending } else { step.state };
        }
        AfterFailure::Back => {
            undo::turn_back(tx, rotation, failure).await?;
            if untouched {
                step.state = StepState::Undone;
                absent(tx, rotation, step).await?;
            }
        }
    }
    Ok(())
}

/// The host has no line of the new key; a further host has none at all.
async fn absent(tx: &mut Tx, rotation: &Rotation, step: &Step) -> Result<(), Error> {
    let server = server_of(step)?;
    match rotation.kind {
        RotationKind::AddHost => store::line::forget_on(tx, &rotation.access, server).await?,
        _ => store::line::set_state(tx, server, &rotation.new_version, LineState::Absent).await?,
    }
    Ok(())
}

/// The keys in their grace end on the further host with the rest: the rotations that ended them have it as one more.
async fn end_graces_too(tx: &mut Tx, rotation: &Rotation) -> Result<(), Error> {
    let Some(server) = &rotation.server else { return Ok(()) };
    let versions = store::version::of(tx.conn(), &rotation.access).await?;
    let lines = store::line::of(tx.conn(), &rotation.access).await?;
    let graces = store::rotation::graces(tx.conn(), &rotation.access).await?;
    for line in lines.iter().filter(|line| line.server == *server) {
        let in_use = |version: &&crate::model::Version| {
            version.id == line.version && version.state == VersionState::Active
        };
        if versions.iter().any(|version| in_use(&version)) {
            continue;
        }
        for (_, _, ended_by) in graces.iter().filter(|(old, ..)| *old == line.version) {
            store::step::follow(tx, ended_by, server).await?;
            store::rotation::reopen_grace(tx, ended_by).await?;
        }
    }
    Ok(())
}
