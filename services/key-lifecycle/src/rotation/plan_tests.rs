//! The plan over every course that a rotation can take.

use super::plan::{AfterFailure, Next, UNDO_TRIES, after_failure, next, steps_for};
use crate::model::{Rotation, RotationKind, RotationState, Step, StepName, StepState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, RotationId, ServerId, TenantId, VersionId};
use keywright_domain::reason::Reason;
use proptest::prelude::*;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Applies what the driver would record, with steps that end as the test says.
struct Simulation {
    rotation: Rotation,
    steps: Vec<Step>,
    now: Instant,
    ran: Vec<(StepName, Option<ServerId>)>,
    undone: Vec<ServerId>,
}

impl Simulation {
    fn new(kind: RotationKind, hosts: usize, grace: Duration) -> Self {
        let servers: Vec<_> = (0..hosts).map(|_| ServerId::random().unwrap()).collect();
        let old = (kind == RotationKind::Rotate).then(|| VersionId::random().unwrap());
        let now = Instant::from_secs(1_000_000);
        let steps = steps_for(kind, old.is_some(), grace, &servers);
        let rotation = Rotation {
            id: RotationId::random().unwrap(),
            tenant: TenantId::random().unwrap(),
            access: AccessId::random().unwrap(),
            kind,
            state: RotationState::Running,
            old_version: old,
            new_version: VersionId::random().unwrap(),
            grace,
            drops: None,
            comment: String::new(),
            created_at: now,
            promoted_at: None,
            grace_ends_at: None,
            grace_ended_at: None,
            finished_at: None,
            failing_at: None,
            reason: String::new(),
            message: String::new(),
            next_at: Some(now),
            automatic: false,
            campaign: None,
            server: None,
            leaves_behind: false,
            grace_extended_at: None,
        };
        Self { rotation, steps, now, ran: Vec::new(), undone: Vec::new() }
    }

    fn step(&mut self, position: i64) -> &mut Step {
        self.steps.iter_mut().find(|step| step.position == position).unwrap()
    }

    /// One turn; `ok` tells whether what is tried succeeds. False when nothing will ever be due.
    fn turn(&mut self, ok: bool) -> bool {
        let chosen = match next(&self.rotation, &self.steps, self.now) {
            Next::Run(step) => (step.clone(), false),
            Next::Undo(step) => (step.clone(), true),
            Next::Conclude(state) => {
                assert_ne!(self.rotation.state, state, "it was concluded already");
                self.rotation.state = state;
                return true;
            }
            Next::EndGrace => {
                assert!(self.rotation.grace_ended_at.is_none());
                self.rotation.grace_ended_at = Some(self.now);
                return true;
            }
            Next::Wait(until) => {
                assert!(until > self.now);
                self.now = until;
                return true;
            }
            Next::Nothing => return false,
        };
        match chosen {
            (step, true) => self.undo(&step, ok),
            (step, false) => self.run(&step, ok),
        }
        true
    }

    fn run(&mut self, step: &Step, ok: bool) {
        assert!(step.not_before <= self.now);
        self.ran.push((step.name, step.server.clone()));
        let (promoted, now) = (self.rotation.promoted_at.is_some(), self.now);
        let recorded = self.step(step.position);
        recorded.attempts += 1;
        if ok {
            recorded.state = StepState::Done;
            if step.name == StepName::Promote && !promoted {
                self.promote();
            }
            return;
        }
        recorded.state = StepState::Failed;
        let recorded = recorded.clone();
        match after_failure(&recorded, promoted, Reason::HostUnreachable) {
            AfterFailure::Again(pause) => self.step(step.position).not_before = now.plus(pause),
            AfterFailure::Back => self.rotation.failing_at = Some(now),
        }
    }

    fn promote(&mut self) {
        for step in self.steps.iter().filter(|step| step.name < StepName::Promote) {
            assert!(step.is_done(), "promoted before {:?} was done", step.name);
        }
        self.rotation.promoted_at = Some(self.now);
        self.rotation.state = RotationState::Converging;
        if self.rotation.old_version.is_some() {
            self.rotation.grace_ends_at = Some(self.now.plus(self.rotation.grace));
        }
    }

    fn undo(&mut self, step: &Step, ok: bool) {
        assert!(self.rotation.promoted_at.is_none(), "there is no way back after the promotion");
        assert_eq!(step.name, StepName::Install);
        let now = self.now;
        let recorded = self.step(step.position);
        if ok {
            recorded.state = StepState::Undone;
            self.undone.push(step.server.clone().unwrap());
        } else {
            recorded.undo_attempts += 1;
            recorded.not_before = now.plus(Duration::from_secs(1));
        }
    }

    fn run_out(&mut self, mut ok: impl FnMut() -> bool) {
        for _ in 0..5000 {
            if !self.turn(ok()) {
                return;
            }
        }
        panic!("it does not end: {:?}", self.rotation.state);
    }

    fn names(&self) -> Vec<StepName> {
        self.ran.iter().map(|(name, _)| *name).collect()
    }
}

#[test]
fn each_kind_takes_its_steps_in_order() {
    use StepName::*;
    let mut first = Simulation::new(RotationKind::Provision, 2, Duration::ZERO);
    first.run_out(|| true);
    assert_eq!(first.names(), [Generate, Account, Account, Install, Install, Prove, Prove, Promote]);
    assert_eq!(first.rotation.state, RotationState::Succeeded);

    let mut second = Simulation::new(RotationKind::Rotate, 1, HOUR);
    second.run_out(|| true);
    let forward = [Generate, Install, Prove, Promote, DestroyOld, ExpireOld];
    assert_eq!(second.names()[..6], forward);
    assert_eq!(second.names()[6..], [RetireOld, RemoveOld, ProveRefused]);
    assert!(second.rotation.grace_ended_at >= second.rotation.grace_ends_at);

    let mut at_once = Simulation::new(RotationKind::Rotate, 1, Duration::ZERO);
    at_once.run_out(|| true);
    assert_eq!(at_once.names()[3..], [Promote, DestroyOld, RetireOld, RemoveOld, ProveRefused]);
}

#[test]
fn the_rotation_has_succeeded_before_its_grace_ends() {
    let mut it = Simulation::new(RotationKind::Rotate, 2, HOUR);
    while it.rotation.state != RotationState::Succeeded {
        assert!(it.turn(true));
    }
    assert_eq!(next(&it.rotation, &it.steps, it.now), Next::Wait(it.rotation.grace_ends_at.unwrap()));
}

#[test]
fn a_failure_of_each_step_before_the_promotion_restores_the_hosts() {
    let all = Simulation::new(RotationKind::Regenerate, 2, Duration::ZERO).steps.len();
    for fails in 1..all {
        let mut it = Simulation::new(RotationKind::Regenerate, 2, Duration::ZERO);
        let failing = i64::try_from(fails).unwrap();
        while it.rotation.failing_at.is_none() {
            let ok =
                !matches!(next(&it.rotation, &it.steps, it.now), Next::Run(step) if step.position == failing);
            assert!(it.turn(ok));
        }
        let touched =
            it.steps.iter().filter(|step| step.name == StepName::Install && step.state != StepState::Pending);
        let touched = touched.count();
        it.run_out(|| true);
        assert_eq!(it.rotation.state, RotationState::Failed, "step {fails}");
        assert_eq!(it.undone.len(), touched, "step {fails}");
        assert!(!it.names().contains(&StepName::Promote));
    }
}

#[test]
fn a_host_that_cannot_be_restored_needs_an_operator() {
    let mut it = Simulation::new(RotationKind::Rotate, 1, HOUR);
    while it.rotation.failing_at.is_none() {
        let ok =
            !matches!(next(&it.rotation, &it.steps, it.now), Next::Run(step) if step.name == StepName::Prove);
        it.turn(ok);
    }
    it.run_out(|| false);
    assert_eq!(it.rotation.state, RotationState::Stuck);
    assert_eq!(it.steps.iter().map(|step| step.undo_attempts).max(), Some(UNDO_TRIES));
}

#[test]
fn a_revocation_leaves_nothing_to_do() {
    let mut it = Simulation::new(RotationKind::Rotate, 1, HOUR);
    it.turn(true);
    it.rotation.state = RotationState::Superseded;
    assert_eq!(next(&it.rotation, &it.steps, it.now), Next::Nothing);
}

#[test]
fn one_host_that_is_down_holds_up_no_other() {
    let mut it = Simulation::new(RotationKind::Rotate, 2, HOUR);
    while it.rotation.promoted_at.is_none() {
        it.turn(true);
    }
    let down = it.steps.iter().find(|step| step.name == StepName::ExpireOld).unwrap().server.clone();
    for _ in 0..6 {
        let ok = !matches!(next(&it.rotation, &it.steps, it.now), Next::Run(step) if step.server == down);
        it.turn(ok);
    }
    let expired = it.steps.iter().filter(|step| step.name == StepName::ExpireOld && step.is_done());
    assert_eq!(expired.count(), 1);
    assert_eq!(it.rotation.state, RotationState::Converging);
}

#[test]
fn a_sealed_store_refuses_at_once_and_a_passing_fault_is_tried_again() {
    let mut step = Step::pending(1, StepName::Generate, None);
    step.attempts = 1;
    assert_eq!(after_failure(&step, false, Reason::SecretStoreSealed), AfterFailure::Back);
    assert!(matches!(after_failure(&step, false, Reason::ServiceUnavailable), AfterFailure::Again(_)));
    assert_eq!(after_failure(&step, false, Reason::AccountNotFound), AfterFailure::Back);
    step.attempts = 99;
    assert_eq!(after_failure(&step, false, Reason::ServiceUnavailable), AfterFailure::Back);
    assert!(matches!(after_failure(&step, true, Reason::SecretStoreSealed), AfterFailure::Again(_)));
}

proptest! {
    /// Whatever fails whenever, the end is one of the good ones, and no step runs before those it stands on.
    #[test]
    fn every_course_ends_well(
        hosts in 1usize..4,
        rotate in any::<bool>(),
        grace_hours in 0u32..3,
        luck in proptest::collection::vec(any::<bool>(), 0..60),
    ) {
        let kind = if rotate { RotationKind::Rotate } else { RotationKind::Provision };
        let mut it = Simulation::new(kind, hosts, HOUR * grace_hours);
        let mut luck = luck.into_iter();
        it.run_out(|| luck.next().unwrap_or(true));
        let promoted = it.rotation.promoted_at.is_some();
        match it.rotation.state {
            RotationState::Succeeded => prop_assert!(promoted),
            RotationState::Failed | RotationState::Stuck => prop_assert!(!promoted),
            other => prop_assert!(false, "ended as {other:?}"),
        }
        prop_assert_eq!(it.rotation.grace_ended_at.is_some(), promoted && rotate);
        for (at, (name, server)) in it.ran.iter().enumerate() {
            if *name == StepName::ProveRefused {
                let removed = it.ran[..at].contains(&(StepName::RemoveOld, server.clone()));
                prop_assert!(removed && it.ran[..at].iter().any(|(name, _)| *name == StepName::RetireOld));
            }
        }
        // Asked again in the same state, the plan says the same.
        let again = next(&it.rotation, &it.steps, it.now);
        prop_assert_eq!(again, Next::Nothing);
    }
}
