//! The plan over every course that a rotation can take.

use super::plan::{AfterFailure, Failed, Next, TRIES_TO_REACH, UNDO_TRIES, after_failure, next, steps_for};
use crate::model::{Rotation, RotationKind, RotationState, Step, StepName, StepState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, RotationId, ServerId, TenantId, VersionId};
use keywright_domain::reason::Reason;
use proptest::prelude::*;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// How a try ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Good,
    /// Nobody there.
    Away,
    /// It is refused, and will be again.
    Refused,
}

/// What is on a host, as far as its holder is concerned.
#[derive(Debug, Clone, Default)]
struct HostKeys {
    old: bool,
    old_ends: bool,
    new_proven: bool,
}

/// Applies what the driver would record, with steps that end as the test says, and knows what that means on the hosts.
struct Simulation {
    rotation: Rotation,
    steps: Vec<Step>,
    now: Instant,
    ran: Vec<(StepName, Option<ServerId>)>,
    undone: Vec<ServerId>,
    hosts: Vec<(ServerId, HostKeys)>,
}

impl Simulation {
    fn new(kind: RotationKind, hosts: usize, grace: Duration) -> Self {
        let servers: Vec<_> = (0..hosts).map(|_| ServerId::random().unwrap()).collect();
        let old = (kind == RotationKind::Rotate).then(|| VersionId::random().unwrap());
        let now = Instant::from_secs(1_000_000);
        let steps = steps_for(kind, old.is_some(), grace, &servers);
        let removal = kind == RotationKind::RemoveHost;
        let one_host = matches!(kind, RotationKind::AddHost | RotationKind::RemoveHost);
        let rotation = Rotation {
            id: RotationId::random().unwrap(),
            tenant: TenantId::random().unwrap(),
            access: AccessId::random().unwrap(),
            kind,
            state: if removal { RotationState::Converging } else { RotationState::Running },
            old_version: old.clone(),
            new_version: VersionId::random().unwrap(),
            grace,
            drops: None,
            comment: String::new(),
            created_at: now,
            promoted_at: removal.then_some(now),
            grace_ends_at: None,
            grace_ended_at: None,
            finished_at: None,
            failing_at: None,
            reason: String::new(),
            message: String::new(),
            next_at: Some(now),
            automatic: false,
            campaign: None,
            server: servers.first().filter(|_| one_host).cloned(),
            leaves_behind: false,
            grace_extended_at: None,
        };
        let before = HostKeys { old: old.is_some(), ..HostKeys::default() };
        let hosts = servers.into_iter().map(|server| (server, before.clone())).collect();
        Self { rotation, steps, now, ran: Vec::new(), undone: Vec::new(), hosts }
    }

    fn leaving_behind(mut self) -> Self {
        self.rotation.leaves_behind = true;
        self
    }

    fn step(&mut self, position: i64) -> &mut Step {
        self.steps.iter_mut().find(|step| step.position == position).unwrap()
    }

    fn host(&mut self, server: &Option<ServerId>) -> &mut HostKeys {
        &mut self.hosts.iter_mut().find(|(id, _)| Some(id) == server.as_ref()).unwrap().1
    }

    fn turn(&mut self, ok: bool) -> bool {
        self.turn_with(|_| if ok { Luck::Good } else { Luck::Away })
    }

    /// One turn, with everything that may run at once; `luck` tells how each try ends. False when nothing will ever be
    /// due.
    fn turn_with(&mut self, mut luck: impl FnMut(&Step) -> Luck) -> bool {
        match next(&self.rotation, &self.steps, self.now) {
            Next::Run(steps) => {
                let steps: Vec<Step> = steps.into_iter().cloned().collect();
                for step in &steps {
                    self.run(step, luck(step));
                }
            }
            Next::Undo(steps) => {
                let steps: Vec<Step> = steps.into_iter().cloned().collect();
                for step in &steps {
                    self.undo(step, luck(step) == Luck::Good);
                }
            }
            Next::TurnBack => {
                assert!(self.rotation.failing_at.is_none());
                self.rotation.failing_at = Some(self.now);
            }
            Next::Conclude(state) => {
                assert_ne!(self.rotation.state, state, "it was concluded already");
                self.rotation.state = state;
            }
            Next::EndGrace => {
                assert!(self.rotation.grace_ended_at.is_none());
                self.rotation.grace_ended_at = Some(self.now);
            }
            Next::Wait(until) => {
                assert!(until > self.now);
                self.now = until;
            }
            Next::Nothing => return false,
        }
        self.nobody_is_locked_out();
        true
    }

    /// Who had a key on a host has one that works there, whatever happened.
    fn nobody_is_locked_out(&self) {
        if self.rotation.kind != RotationKind::Rotate {
            return;
        }
        for (server, keys) in &self.hosts {
            let over = keys.old_ends && self.rotation.grace_ends_at.is_some_and(|end| end <= self.now);
            let old = keys.old && !over;
            assert!(old || keys.new_proven, "no key on {server}: {keys:?}");
        }
    }

    fn run(&mut self, step: &Step, luck: Luck) {
        assert!(step.not_before <= self.now);
        self.ran.push((step.name, step.server.clone()));
        let (promoted, now) = (self.rotation.promoted_at.is_some(), self.now);
        let recorded = self.step(step.position);
        recorded.attempts += 1;
        if luck == Luck::Good {
            recorded.state = StepState::Done;
            recorded.unreached = 0;
            match step.name {
                StepName::Promote if !promoted => self.promote(),
                StepName::Prove => self.host(&step.server).new_proven = true,
                StepName::ExpireOld => self.host(&step.server).old_ends = true,
                StepName::RemoveOld => self.host(&step.server).old = false,
                _ => {}
            }
            return;
        }
        let unreachable = luck == Luck::Away && step.server.is_some();
        recorded.state = StepState::Failed;
        recorded.unreached = if unreachable { recorded.unreached + 1 } else { 0 };
        let recorded = recorded.clone();
        let reason = if luck == Luck::Away { Reason::HostUnreachable } else { Reason::HostFileReadOnly };
        match after_failure(&self.rotation, &recorded, Failed { reason, unreachable }) {
            AfterFailure::Again(pause) => self.step(step.position).not_before = now.plus(pause),
            AfterFailure::Back => self.rotation.failing_at = self.rotation.failing_at.or(Some(now)),
        }
    }

    fn promote(&mut self) {
        let proven = |step: &&Step| step.name == StepName::Prove && step.is_done();
        assert!(self.steps.iter().any(|step| proven(&step)), "promoted without a proof");
        for step in self.steps.iter().filter(|step| step.name < StepName::Promote) {
            let left = self.rotation.leaves_behind && step.server.is_some();
            assert!(left || step.is_done(), "promoted before {:?} was done", step.name);
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
        if ok {
            self.host(&step.server).new_proven = false;
        }
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
        self.run_out_with(|_| if ok() { Luck::Good } else { Luck::Away });
    }

    fn run_out_with(&mut self, mut luck: impl FnMut(&Step) -> Luck) {
        for _ in 0..5000 {
            if !self.turn_with(&mut luck) {
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
    let all = Simulation::new(RotationKind::Regenerate, 3, Duration::ZERO).steps.len();
    for fails in 1..all {
        let mut it = Simulation::new(RotationKind::Regenerate, 3, Duration::ZERO);
        let failing = i64::try_from(fails).unwrap();
        while it.rotation.failing_at.is_none() {
            assert!(it.turn_with(|step| if step.position == failing { Luck::Refused } else { Luck::Good }));
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
fn a_host_that_cannot_be_restored_needs_an_operator_and_the_others_are_restored() {
    let mut it = Simulation::new(RotationKind::Rotate, 3, HOUR);
    while it.rotation.failing_at.is_none() {
        it.turn_with(|step| if step.name == StepName::Prove { Luck::Away } else { Luck::Good });
    }
    let lost = it.steps.iter().find(|step| step.name == StepName::Install).unwrap().server.clone();
    it.run_out_with(|step| if step.server == lost { Luck::Away } else { Luck::Good });
    assert_eq!(it.rotation.state, RotationState::Stuck);
    assert_eq!(it.steps.iter().map(|step| step.undo_attempts).max(), Some(UNDO_TRIES));
    assert_eq!(it.undone.len(), 2);
}

#[test]
fn hosts_are_worked_on_at_once() {
    let mut it = Simulation::new(RotationKind::Rotate, 10, HOUR);
    let mut turns = 0;
    while it.rotation.promoted_at.is_none() {
        it.turn(true);
        turns += 1;
    }
    assert_eq!(turns, 4, "generate, install, prove, promote");
}

#[test]
fn a_further_host_gets_the_keys_or_is_restored() {
    use StepName::*;
    let mut good = Simulation::new(RotationKind::AddHost, 1, Duration::ZERO);
    good.run_out(|| true);
    assert_eq!(good.names(), [Hold, Account, Install, Prove]);
    assert_eq!(good.rotation.state, RotationState::Succeeded);
    for fails in [Hold, Account, Install, Prove] {
        let mut it = Simulation::new(RotationKind::AddHost, 1, Duration::ZERO);
        while it.rotation.failing_at.is_none() {
            it.turn_with(|step| if step.name == fails { Luck::Refused } else { Luck::Good });
        }
        it.run_out(|| true);
        assert_eq!(it.rotation.state, RotationState::Failed);
        assert_eq!(it.undone.len(), usize::from(fails >= Install), "{fails:?}");
    }
}

#[test]
fn a_host_is_taken_off_however_long_it_takes() {
    use StepName::*;
    let mut it = Simulation::new(RotationKind::RemoveHost, 1, Duration::ZERO);
    for _ in 0..50 {
        assert!(it.turn(false));
    }
    assert_eq!(it.rotation.state, RotationState::Converging);
    it.ran.clear();
    it.run_out(|| true);
    assert_eq!(it.names(), [RemoveOld, ProveRefused, LetGo]);
    assert_eq!(it.rotation.state, RotationState::Succeeded);
}

/// One of three hosts is away for long.
fn with_one_away(grace: Duration) -> (Simulation, Option<ServerId>) {
    let mut it = Simulation::new(RotationKind::Rotate, 3, grace).leaving_behind();
    let away = it.steps.iter().find(|step| step.name == StepName::Prove).unwrap().server.clone();
    while it.rotation.promoted_at.is_none() {
        assert!(it.turn_with(|step| if step.server == away { Luck::Away } else { Luck::Good }));
    }
    (it, away)
}

#[test]
fn a_host_that_is_away_is_left_behind_and_catches_up() {
    let (mut it, away) = with_one_away(HOUR);
    let tries = it.ran.iter().filter(|(_, server)| *server == away).count();
    assert_eq!(tries, TRIES_TO_REACH as usize);
    for _ in 0..20 {
        assert!(it.turn_with(|step| if step.server == away { Luck::Away } else { Luck::Good }));
    }
    assert_eq!(it.rotation.state, RotationState::Converging);
    it.run_out(|| true);
    assert_eq!(it.rotation.state, RotationState::Succeeded);
    assert!(it.rotation.grace_ended_at.is_some());
}

#[test]
fn the_end_of_the_grace_takes_the_old_key_off_no_host_that_was_left_behind() {
    for grace in [Duration::ZERO, HOUR] {
        let (mut it, away) = with_one_away(grace);
        while it.now < it.rotation.grace_ends_at.unwrap().plus(HOUR) {
            assert!(it.turn_with(|step| if step.server == away { Luck::Away } else { Luck::Good }));
        }
        assert_eq!(it.rotation.state, RotationState::Converging);
        assert!(it.host(&away).old && !it.host(&away).old_ends);
        assert!(!it.names().contains(&StepName::RetireOld), "a host still needs the key");
        let removed = it.ran.iter().filter(|(name, _)| *name == StepName::RemoveOld).count();
        assert_eq!(removed, 2);
        it.run_out(|| true);
        assert_eq!(it.rotation.state, RotationState::Succeeded);
        assert!(it.hosts.iter().all(|(_, keys)| keys.new_proven && !keys.old));
        assert!(it.names().contains(&StepName::RetireOld));
    }
}

#[test]
fn no_host_at_all_and_a_host_that_refuses_lead_back() {
    let mut nobody = Simulation::new(RotationKind::Rotate, 3, HOUR).leaving_behind();
    nobody.turn(true);
    nobody.run_out_with(|step| {
        if step.state == StepState::Failed && step.undo_attempts > 0 { Luck::Good } else { Luck::Away }
    });
    assert!(nobody.rotation.promoted_at.is_none());
    let mut refused = Simulation::new(RotationKind::Rotate, 3, HOUR).leaving_behind();
    let last = refused.steps.iter().rev().find_map(|step| step.server.clone());
    while refused.rotation.failing_at.is_none() {
        refused.turn_with(|step| if step.server == last { Luck::Refused } else { Luck::Good });
    }
    refused.run_out(|| true);
    assert_eq!(refused.rotation.state, RotationState::Failed);
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
        it.turn_with(|step| if step.server == down { Luck::Away } else { Luck::Good });
    }
    let expired = it.steps.iter().filter(|step| step.name == StepName::ExpireOld && step.is_done());
    assert_eq!(expired.count(), 1);
    assert_eq!(it.rotation.state, RotationState::Converging);
}

#[test]
fn a_sealed_store_refuses_at_once_and_a_passing_fault_is_tried_again() {
    let mut rotation = Simulation::new(RotationKind::Rotate, 1, HOUR).rotation;
    let mut step = Step::pending(1, StepName::Generate, None);
    let after = |rotation: &Rotation, step: &Step, reason| {
        after_failure(rotation, step, Failed { reason, unreachable: false })
    };
    step.attempts = 1;
    assert_eq!(after(&rotation, &step, Reason::SecretStoreSealed), AfterFailure::Back);
    assert!(matches!(after(&rotation, &step, Reason::ServiceUnavailable), AfterFailure::Again(_)));
    assert_eq!(after(&rotation, &step, Reason::AccountNotFound), AfterFailure::Back);
    step.attempts = 99;
    assert_eq!(after(&rotation, &step, Reason::ServiceUnavailable), AfterFailure::Back);
    rotation.promoted_at = Some(rotation.created_at);
    assert!(matches!(after(&rotation, &step, Reason::SecretStoreSealed), AfterFailure::Again(_)));
}

fn any_luck() -> impl Strategy<Value = Luck> {
    prop_oneof![5 => Just(Luck::Good), 4 => Just(Luck::Away), 1 => Just(Luck::Refused)]
}

proptest! {
    /// Whatever fails whenever, the end is one of the good ones, no step runs before those it stands on, and on no host
    /// is there ever a moment without a key that works (asserted at every turn).
    #[test]
    fn every_course_ends_well(
        kind in prop_oneof![
            3 => Just(RotationKind::Rotate), 1 => Just(RotationKind::Provision), 1 => Just(RotationKind::AddHost)
        ],
        hosts in 1usize..5,
        leaves_behind in any::<bool>(),
        grace_hours in 0u32..3,
        luck in proptest::collection::vec(any_luck(), 0..90),
    ) {
        let hosts = if kind == RotationKind::AddHost { 1 } else { hosts };
        let mut it = Simulation::new(kind, hosts, HOUR * grace_hours);
        it.rotation.leaves_behind = leaves_behind && kind.brings_a_key();
        let mut luck = luck.into_iter();
        it.run_out_with(|_| luck.next().unwrap_or(Luck::Good));
        let promoted = it.rotation.promoted_at.is_some();
        match it.rotation.state {
            RotationState::Succeeded => prop_assert_eq!(promoted, kind.brings_a_key()),
            RotationState::Failed | RotationState::Stuck => prop_assert!(!promoted),
            other => prop_assert!(false, "ended as {other:?}"),
        }
        prop_assert_eq!(it.rotation.grace_ended_at.is_some(), promoted && kind == RotationKind::Rotate);
        for (at, (name, server)) in it.ran.iter().enumerate() {
            if *name == StepName::ProveRefused {
                prop_assert!(it.ran[..at].contains(&(StepName::RemoveOld, server.clone())));
            }
        }
        if promoted {
            prop_assert!(it.hosts.iter().all(|(_, keys)| keys.new_proven));
        }
        // Asked again in the same state, the plan says the same.
        let again = next(&it.rotation, &it.steps, it.now);
        prop_assert_eq!(again, Next::Nothing);
    }
}
