//! What comes next, from what is recorded. No clock, no I/O: `now` is a parameter.

use crate::model::{Rotation, RotationKind, RotationState, Step, StepName, StepState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_domain::reason::{Reason, Retry};
use std::time::Duration;

/// Tries to undo one host before an operator must look.
pub const UNDO_TRIES: u32 = 8;
/// Tries of a step before the promotion, where the host or a service does not answer.
const TRIES_BEFORE_PROMOTION: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    Run(&'a Step),
    /// Restore the host of this `install` step.
    Undo(&'a Step),
    /// Enter a final state.
    Conclude(RotationState),
    /// The old key was proven refused everywhere.
    EndGrace,
    /// Nothing before this instant.
    Wait(Instant),
    /// Nothing, ever.
    Nothing,
}

/// The rows of a new rotation.
pub fn steps_for(kind: RotationKind, has_old: bool, grace: Duration, servers: &[ServerId]) -> Vec<Step> {
    let mut names: Vec<(StepName, Option<&ServerId>)> = vec![(StepName::Generate, None)];
    let each = |name: StepName| servers.iter().map(move |server| (name, Some(server)));
    if kind != RotationKind::Rotate {
        names.extend(each(StepName::Account));
    }
    names.extend(each(StepName::Install));
    names.extend(each(StepName::Prove));
    names.push((StepName::Promote, None));
    if has_old {
        names.push((StepName::DestroyOld, None));
        if !grace.is_zero() {
            names.extend(each(StepName::ExpireOld));
        }
        names.push((StepName::RetireOld, None));
        names.extend(each(StepName::RemoveOld));
        names.extend(each(StepName::ProveRefused));
    }
    let numbered = (1i64..).zip(names);
    numbered.map(|(position, (name, server))| Step::pending(position, name, server.cloned())).collect()
}

/// `steps` are in order.
pub fn next<'a>(rotation: &Rotation, steps: &'a [Step], now: Instant) -> Next<'a> {
    match rotation.state {
        RotationState::Failed | RotationState::Superseded | RotationState::Stuck => Next::Nothing,
        RotationState::Running if rotation.promoted_at.is_none() => match rotation.failing_at {
            Some(_) => back(steps, now),
            None => forward(steps, now),
        },
        RotationState::Running | RotationState::Converging | RotationState::Succeeded => {
            onward(rotation, steps, now)
        }
    }
}

/// Before the promotion, all is well: one step after the other.
fn forward(steps: &[Step], now: Instant) -> Next<'_> {
    let leads_there = |step: &&Step| step.name <= StepName::Promote && !step.is_done();
    steps.iter().find(leads_there).map_or(Next::Nothing, |step| due(step, now))
}

/// Before the promotion, after a failure: every host that may have been touched, the last first.
fn back(steps: &[Step], now: Instant) -> Next<'_> {
    let touched = |step: &&Step| {
        step.name == StepName::Install && !matches!(step.state, StepState::Pending | StepState::Undone)
    };
    match steps.iter().rev().find(touched) {
        None => Next::Conclude(RotationState::Failed),
        Some(step) if step.undo_attempts >= UNDO_TRIES => Next::Conclude(RotationState::Stuck),
        Some(step) if step.not_before > now => Next::Wait(step.not_before),
        Some(step) => Next::Undo(step),
    }
}

/// After the promotion: a host that is down does not hold up the others.
fn onward<'a>(rotation: &Rotation, steps: &'a [Step], now: Instant) -> Next<'a> {
    let open = |name: StepName| steps.iter().filter(move |step| step.name == name && !step.is_done());
    if let Some(promote) = open(StepName::Promote).next() {
        return due(promote, now);
    }
    // A step of a host waits for the one before it on the same host; the end of grace waits for its time.
    let ended = rotation.grace_ends_at.is_some_and(|end| end <= now);
    let mut candidates: Vec<&Step> = open(StepName::DestroyOld).collect();
    if !ended {
        candidates.extend(open(StepName::ExpireOld));
    }
    let settled = candidates.is_empty();
    if ended {
        let retired = open(StepName::RetireOld).next();
        candidates.extend(retired);
        if retired.is_none() {
            candidates.extend(open(StepName::RemoveOld));
            let removed =
                |server: &Option<ServerId>| !open(StepName::RemoveOld).any(|step| step.server == *server);
            candidates.extend(open(StepName::ProveRefused).filter(|step| removed(&step.server)));
        }
    }
    if settled && rotation.state != RotationState::Succeeded {
        return Next::Conclude(RotationState::Succeeded);
    }
    if let Some(step) = candidates.iter().find(|step| step.not_before <= now) {
        return Next::Run(step);
    }
    if let Some(earliest) = candidates.iter().map(|step| step.not_before).min() {
        let end = rotation.grace_ends_at.filter(|end| *end > now);
        return Next::Wait(end.map_or(earliest, |end| end.min(earliest)));
    }
    match rotation.grace_ends_at {
        _ if rotation.old_version.is_none() || rotation.grace_ended_at.is_some() => Next::Nothing,
        Some(end) if end > now => Next::Wait(end),
        _ => Next::EndGrace,
    }
}

fn due(step: &Step, now: Instant) -> Next<'_> {
    if step.not_before > now { Next::Wait(step.not_before) } else { Next::Run(step) }
}

/// What a failed try leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    Again(Duration),
    Back,
}

/// `step.attempts` counts this one. A store that is sealed when the key is to be made refuses the rotation at once.
pub fn after_failure(step: &Step, promoted: bool, reason: Reason) -> AfterFailure {
    if promoted {
        return AfterFailure::Again(pause(step.attempts));
    }
    let no_store = matches!(reason, Reason::SecretStoreSealed | Reason::SecretStoreUnavailable);
    let refused = step.name == StepName::Generate && no_store;
    let passing = reason == Reason::RevisionMismatch || reason.retry() == Retry::AfterDelay;
    if passing && !refused && step.attempts < TRIES_BEFORE_PROMOTION {
        AfterFailure::Again(pause(step.attempts))
    } else {
        AfterFailure::Back
    }
}

/// Doubles from one second to five minutes.
pub fn pause(attempts: u32) -> Duration {
    let doubled = Duration::from_secs(1 << attempts.saturating_sub(1).min(9));
    doubled.min(LONGEST_PAUSE)
}
