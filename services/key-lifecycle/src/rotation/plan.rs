//! What comes next, from what is recorded. No clock, no I/O: `now` is a parameter.
//!
//! Hosts are independent of each other: on each the steps follow one another, and what the plan gives out at once is for
//! different hosts. A rotation that may leave hosts behind does not wait for those that cannot be reached: it is promoted
//! when every other host has proven the new key and at least one has. A host left behind keeps the old key until the new
//! one is proven on it, however long that takes and whether or not the grace has ended meanwhile: otherwise its holder
//! would have no key there at all. A revocation still takes everything, from everywhere. Later rotations go on beside one
//! that waits for a host: they bring the host their key too, and once one of them is proven there the host is done with.

use crate::model::{Rotation, RotationKind, RotationState, Step, StepName, StepState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_domain::reason::{Reason, Retry};
use std::time::Duration;

/// Tries to undo one host before an operator must look.
pub const UNDO_TRIES: u32 = 8;
/// Tries of a step before the promotion, where the host or a service does not answer.
const TRIES_BEFORE_PROMOTION: u32 = 5;
/// Tries to reach a host before it is left behind, where it may be.
pub const TRIES_TO_REACH: u32 = 3;
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<'a> {
    /// One or all of these, at once if one likes.
    Run(Vec<&'a Step>),
    /// Restore the hosts of these `install` steps, at once if one likes.
    Undo(Vec<&'a Step>),
    /// No host can be reached: the way back begins.
    TurnBack,
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
    let mut names: Vec<(StepName, Option<&ServerId>)> = Vec::new();
    let each = |name: StepName| servers.iter().map(move |server| (name, Some(server)));
    match kind {
        RotationKind::Provision | RotationKind::Rotate | RotationKind::Regenerate => {
            names.push((StepName::Generate, None));
            if kind != RotationKind::Rotate {
                names.extend(each(StepName::Account));
            }
            names.extend(each(StepName::Install).chain(each(StepName::Prove)));
            names.push((StepName::Promote, None));
            if has_old {
                names.push((StepName::DestroyOld, None));
                if !grace.is_zero() {
                    names.extend(each(StepName::ExpireOld));
                }
                names.push((StepName::RetireOld, None));
                names.extend(each(StepName::RemoveOld).chain(each(StepName::ProveRefused)));
            }
        }
        RotationKind::AddHost => {
            names.extend(each(StepName::Hold).chain(each(StepName::Account)));
            names.extend(each(StepName::Install).chain(each(StepName::Prove)));
        }
        RotationKind::RemoveHost => {
            names.extend(each(StepName::RemoveOld).chain(each(StepName::ProveRefused)));
            names.extend(each(StepName::LetGo));
        }
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
            None => forward(rotation, steps, now),
        },
        RotationState::Running | RotationState::Converging | RotationState::Succeeded => {
            match rotation.kind {
                RotationKind::AddHost => Next::Nothing,
                RotationKind::RemoveHost => removal(rotation, steps, now),
                RotationKind::Provision | RotationKind::Rotate | RotationKind::Regenerate => {
                    onward(rotation, steps, now)
                }
            }
        }
    }
}

/// To be done. Undone after a promotion: the host has left the access.
fn is_open(step: &Step) -> bool {
    !matches!(step.state, StepState::Done | StepState::Undone)
}

/// What brings the new key to a host and proves it there.
const fn brings(name: StepName) -> bool {
    matches!(name, StepName::Account | StepName::Install | StepName::Prove)
}

/// Of each host that has not proven the new key yet, the step that is next there.
fn heads(steps: &[Step]) -> Vec<&Step> {
    let mut heads: Vec<&Step> = Vec::new();
    for step in steps.iter().filter(|step| brings(step.name) && is_open(step)) {
        if !heads.iter().any(|head| head.server == step.server) {
            heads.push(step);
        }
    }
    heads
}

/// Nobody was there, often enough: only then does a failure not lead back.
fn is_left(rotation: &Rotation, step: &Step) -> bool {
    rotation.leaves_behind && step.unreached >= TRIES_TO_REACH && step.state != StepState::Started
}

/// Before the promotion, all is well.
fn forward<'a>(rotation: &Rotation, steps: &'a [Step], now: Instant) -> Next<'a> {
    let first = |step: &&Step| step.name < StepName::Account && is_open(step);
    if let Some(first) = steps.iter().find(first) {
        return due(vec![first], now);
    }
    let (left, waited_for): (Vec<&Step>, Vec<&Step>) =
        heads(steps).into_iter().partition(|step| is_left(rotation, step));
    if !waited_for.is_empty() {
        return due(waited_for, now);
    }
    let proven = steps.iter().any(|step| step.name == StepName::Prove && step.is_done());
    if !left.is_empty() && !proven {
        return Next::TurnBack;
    }
    match steps.iter().find(|step| step.name == StepName::Promote && is_open(step)) {
        Some(promote) => due(vec![promote], now),
        // A further host has the keys: nothing comes into use.
        None => Next::Conclude(RotationState::Succeeded),
    }
}

/// Before the promotion, after a failure: every host that may have been touched.
fn back(steps: &[Step], now: Instant) -> Next<'_> {
    let touched = |step: &&Step| {
        step.name == StepName::Install && !matches!(step.state, StepState::Pending | StepState::Undone)
    };
    let touched: Vec<&Step> = steps.iter().rev().filter(touched).collect();
    if touched.is_empty() {
        return Next::Conclude(RotationState::Failed);
    }
    let hopeful: Vec<&Step> = touched.into_iter().filter(|step| step.undo_attempts < UNDO_TRIES).collect();
    if hopeful.is_empty() {
        return Next::Conclude(RotationState::Stuck);
    }
    match due(hopeful, now) {
        Next::Run(steps) => Next::Undo(steps),
        other => other,
    }
}

/// After the promotion: a host that is down does not hold up the others.
fn onward<'a>(rotation: &Rotation, steps: &'a [Step], now: Instant) -> Next<'a> {
    let open = |name: StepName| steps.iter().filter(move |step| step.name == name && is_open(step));
    if let Some(promote) = open(StepName::Promote).next() {
        return due(vec![promote], now);
    }
    let catching_up = heads(steps);
    let outstanding = |step: &Step| catching_up.iter().any(|head| head.server == step.server);
    // A step of a host waits for the one before it on the same host; the end of grace waits for its time.
    let ended = rotation.grace_ends_at.is_some_and(|end| end <= now);
    let mut candidates: Vec<&Step> = open(StepName::DestroyOld).collect();
    candidates.extend(&catching_up);
    if !ended {
        candidates.extend(open(StepName::ExpireOld).filter(|step| !outstanding(step)));
    }
    let settled = candidates.is_empty();
    if ended {
        // The key retires when no host needs it any more.
        let retired = open(StepName::RetireOld).next().filter(|_| catching_up.is_empty());
        candidates.extend(retired);
        if retired.is_none() {
            candidates.extend(open(StepName::RemoveOld).filter(|step| !outstanding(step)));
            let removed = |step: &&Step| !open(StepName::RemoveOld).any(|other| other.server == step.server);
            candidates.extend(open(StepName::ProveRefused).filter(removed));
        }
    }
    if settled && rotation.state != RotationState::Succeeded {
        return Next::Conclude(RotationState::Succeeded);
    }
    if !candidates.is_empty() {
        return match due(candidates, now) {
            Next::Wait(earliest) => {
                let end = rotation.grace_ends_at.filter(|end| *end > now);
                Next::Wait(end.map_or(earliest, |end| end.min(earliest)))
            }
            other => other,
        };
    }
    match rotation.grace_ends_at {
        _ if rotation.old_version.is_none() || rotation.grace_ended_at.is_some() => Next::Nothing,
        Some(end) if end > now => Next::Wait(end),
        _ => Next::EndGrace,
    }
}

/// Off one host, step after step, for ever.
fn removal<'a>(rotation: &Rotation, steps: &'a [Step], now: Instant) -> Next<'a> {
    match steps.iter().find(|step| is_open(step)) {
        Some(step) => due(vec![step], now),
        None if rotation.state == RotationState::Succeeded => Next::Nothing,
        None => Next::Conclude(RotationState::Succeeded),
    }
}

/// Those that are due, or when the first of them is. `steps` is not empty.
fn due(steps: Vec<&Step>, now: Instant) -> Next<'_> {
    let earliest = steps.iter().map(|step| step.not_before).min();
    let due: Vec<&Step> = steps.into_iter().filter(|step| is_over(step.not_before, now)).collect();
    if due.is_empty() { earliest.map_or(Next::Nothing, Next::Wait) } else { Next::Run(due) }
}

/// How a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    pub reason: Reason,
    /// Nobody was there: the host neither refused nor did it half.
    pub unreachable: bool,
}

/// What a failed try leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    Again(Duration),
    Back,
}

/// `step.attempts` counts this one. A store that is sealed when the key is to be made refuses the rotation at once.
pub fn after_failure(rotation: &Rotation, step: &Step, failed: Failed) -> AfterFailure {
    let again = AfterFailure::Again(pause(step.attempts));
    if rotation.promoted_at.is_some() {
        return again;
    }
    if rotation.leaves_behind && brings(step.name) && failed.unreachable {
        return again;
    }
    let no_store = matches!(failed.reason, Reason::SecretStoreSealed | Reason::SecretStoreUnavailable);
    let refused = step.name == StepName::Generate && no_store;
    let passing = failed.reason == Reason::RevisionMismatch || failed.reason.retry() == Retry::AfterDelay;
    if passing && !refused && step.attempts < TRIES_BEFORE_PROMOTION { again } else { AfterFailure::Back }
}

/// Whether a pause until then is over. One that is longer than any was begun before the clock went back.
pub fn is_over(until: Instant, now: Instant) -> bool {
    until <= now || until > now.plus(LONGEST_PAUSE)
}

/// Doubles from one second to five minutes.
pub fn pause(attempts: u32) -> Duration {
    let doubled = Duration::from_secs(1 << attempts.saturating_sub(1).min(9));
    doubled.min(LONGEST_PAUSE)
}
