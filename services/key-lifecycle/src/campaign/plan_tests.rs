//! The plan over every course that a campaign can take: targets that end in any way, pauses and freezes at any time.

use super::drive::settle;
use super::plan::{
    Canary, Counts, Next, Reach, Standing, Verdict, after_refusal, after_rotation, next, pause, waves,
};
use crate::model::{
    Campaign, CampaignPlan, CampaignState, CampaignTarget, PauseReason, RotationState, Selector, Tally,
    TargetState, Which,
};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, CampaignId, RotationId, TenantId};
use keywright_domain::reason::Reason;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How a try of a target ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Done,
    Failed,
    Down,
    Skipped,
    Outstanding,
}

impl End {
    fn verdict(self) -> Verdict {
        match self {
            Self::Done => Verdict::Done,
            Self::Failed => Verdict::Fail,
            Self::Down => Verdict::Down,
            Self::Skipped => Verdict::Skip,
            Self::Outstanding => Verdict::Outstanding,
        }
    }
}

/// Applies what the driver would record.
struct Simulation {
    campaign: Campaign,
    targets: Vec<CampaignTarget>,
    frozen: bool,
    now: Instant,
    /// Positions in the order in which they were begun first.
    begun: Vec<i64>,
    ends: Vec<End>,
    /// Positions of those that an operator has seen.
    excused: BTreeSet<i64>,
}

impl Simulation {
    fn new(plan: CampaignPlan, targets: usize, ends: Vec<End>) -> Self {
        let now = Instant::from_secs(1_000_000);
        let waves = waves(&plan, targets);
        let numbers = (1u32..).zip(&waves).flat_map(|(wave, size)| (0..*size).map(move |_| wave));
        let targets = (1i64..).zip(numbers).map(|(position, wave)| target(position, wave)).collect();
        let campaign = Campaign {
            id: CampaignId::random().unwrap(),
            state: CampaignState::Running,
            pause: None,
            selector: Selector { which: Which::All, labels: BTreeMap::new(), tenant: None },
            plan,
            grace: None,
            comment: String::new(),
            created_by: String::new(),
            created_at: now,
            finished_at: None,
            wave: 0,
            waves,
            soak_until: None,
            forgiven: Tally::default(),
            next_at: Some(now),
        };
        Self { campaign, targets, frozen: false, now, begun: Vec::new(), ends, excused: BTreeSet::new() }
    }

    /// As `store::campaign_target::counts` counts.
    fn counts(&self) -> Counts {
        let (wave, now) = (self.campaign.wave, self.now);
        let count = |holds: &dyn Fn(&CampaignTarget) -> bool| {
            u32::try_from(self.targets.iter().filter(|it| holds(it)).count()).unwrap()
        };
        let waits = |it: &CampaignTarget| it.state == TargetState::CatchUp && it.trying_at.is_none();
        let ended = |it: &CampaignTarget, failed: bool| {
            it.give_up_at.is_none()
                && (it.state == TargetState::Failed || (!failed && it.state == TargetState::Succeeded))
        };
        let later = |at: Option<Instant>| at.filter(|at| *at > now);
        let fresh = |it: &CampaignTarget| !self.excused.contains(&it.position);
        let told = |it: &CampaignTarget| !it.reason.is_empty();
        let waiting = self.targets.iter().filter(|it| waits(it));
        Counts {
            pending: count(&|it| it.state == TargetState::Pending && it.wave <= wave),
            later: count(&|it| it.state == TargetState::Pending && it.wave > wave),
            running: count(&|it| it.state == TargetState::Running),
            trying: count(&|it| it.trying_at.is_some()),
            unbegun: count(&|it| it.trying_at.is_some() && it.rotation.is_none()),
            catching: count(&|it| it.state == TargetState::CatchUp),
            again: count(&|it| waits(it) && it.again_at.is_some_and(|at| at <= now)),
            over: count(&|it| waits(it) && it.give_up_at.is_some_and(|at| at <= now)),
            outstanding: count(&|it| waits(it) && it.again_at.is_none()),
            canary: Canary {
                proven: count(&|it| {
                    it.wave == 1 && fresh(it) && it.state == TargetState::Succeeded && !told(it)
                }),
                missed: count(&|it| {
                    let half = it.state == TargetState::Succeeded && told(it);
                    it.wave == 1 && fresh(it) && (half || it.state == TargetState::Failed)
                }),
                waiting: count(&|it| it.wave == 1 && fresh(it) && it.state == TargetState::CatchUp),
                excused: count(&|it| it.wave == 1 && !fresh(it)),
            },
            reach: Reach {
                tried: count(&|it| {
                    let tried = [TargetState::Succeeded, TargetState::Failed, TargetState::CatchUp];
                    it.wave == wave && fresh(it) && tried.contains(&it.state)
                }),
                down: count(&|it| it.wave == wave && fresh(it) && is_down(it)),
            },
            tally: Tally { finished: count(&|it| ended(it, false)), failed: count(&|it| ended(it, true)) },
            next: waiting.flat_map(|it| [later(it.again_at), later(it.give_up_at)]).flatten().min(),
        }
    }

    fn plan(&self) -> Next {
        next(&Standing {
            state: self.campaign.state,
            pause: self.campaign.pause,
            frozen: self.frozen,
            plan: &self.campaign.plan,
            waves: self.campaign.waves.len(),
            wave: self.campaign.wave,
            soak_until: self.campaign.soak_until,
            forgiven: self.campaign.forgiven,
            counts: self.counts(),
            now: self.now,
        })
    }

    /// One turn; false when nothing will ever be due.
    fn turn(&mut self) -> bool {
        match self.plan() {
            Next::Begin => panic!("everything that has a place was begun"),
            Next::OpenWave(wave) => {
                assert_eq!(wave, self.campaign.wave + 1, "waves come in order");
                let before = self.targets.iter().filter(|it| it.wave < wave);
                let open =
                    |it: &CampaignTarget| matches!(it.state, TargetState::Pending | TargetState::Running);
                assert!(before.clone().all(|it| !open(it)), "the wave before has ended");
                if wave > 1 {
                    assert!(self.campaign.soak_until.is_some_and(|until| until <= self.now), "and soaked");
                }
                if wave == 2 {
                    let proven = |it: &CampaignTarget| match it.state {
                        TargetState::Succeeded => it.reason.is_empty(),
                        state => state == TargetState::Skipped,
                    };
                    let passed = |it: &CampaignTarget| proven(it) || self.excused.contains(&it.position);
                    assert!(before.clone().all(passed), "every canary is proven, or somebody has looked");
                    let counts =
                        |it: &CampaignTarget| it.state == TargetState::Succeeded || !self.excused.is_empty();
                    assert!(before.clone().any(counts), "one at least");
                }
                (self.campaign.wave, self.campaign.soak_until) = (wave, None);
            }
            Next::Start => self.place(false),
            Next::StartAgain => self.place(true),
            Next::GiveUp => {
                let now = self.now;
                let over = |it: &&mut CampaignTarget| {
                    it.state == TargetState::CatchUp
                        && it.trying_at.is_none()
                        && it.give_up_at.is_some_and(|at| at <= now)
                };
                for it in self.targets.iter_mut().filter(over) {
                    it.state =
                        if it.again_at.is_none() { TargetState::Succeeded } else { TargetState::Failed };
                    it.again_at = None;
                }
            }
            Next::Soak(until) => self.campaign.soak_until = Some(until),
            Next::Pause(reason) => {
                (self.campaign.state, self.campaign.pause) = (CampaignState::Paused, Some(reason));
            }
            Next::Resume => (self.campaign.state, self.campaign.pause) = (CampaignState::Running, None),
            Next::Finish => {
                let open = |it: &CampaignTarget| {
                    matches!(it.state, TargetState::Pending | TargetState::Running | TargetState::CatchUp)
                };
                assert!(!self.targets.iter().any(open), "every target came to its end");
                self.campaign.state = CampaignState::Succeeded;
            }
            Next::Wait(until) => {
                assert!(until > self.now, "it waits for what is past");
                self.now = until;
                self.end_one();
            }
            Next::Nothing => return false,
        }
        true
    }

    fn place(&mut self, again: bool) {
        assert_eq!(self.campaign.state, CampaignState::Running);
        assert!(!self.frozen, "nothing begins while frozen");
        let (wave, now) = (self.campaign.wave, self.now);
        let wanted = |it: &&mut CampaignTarget| match again {
            true => {
                it.state == TargetState::CatchUp
                    && it.trying_at.is_none()
                    && it.again_at.is_some_and(|at| at <= now)
            }
            false => it.state == TargetState::Pending && it.wave <= wave,
        };
        let target = self.targets.iter_mut().find(wanted).expect("the plan knows of one");
        if !again {
            target.state = TargetState::Running;
            self.begun.push(target.position);
        }
        target.trying_at = Some(now);
        target.attempts += 1;
        target.rotation = Some(RotationId::random().unwrap());
        let trying = self.targets.iter().filter(|it| it.trying_at.is_some()).count();
        assert!(trying <= usize::try_from(self.campaign.plan.max_parallel).unwrap(), "too many at once");
    }

    /// An operator has looked, and goes on.
    fn resume(&mut self) {
        let (wave, now) = (self.campaign.wave, self.now);
        let open = [TargetState::Pending, TargetState::Running, TargetState::Cancelled];
        let seen = self.targets.iter().filter(|it| it.wave == wave && !open.contains(&it.state));
        self.excused.extend(seen.map(|it| it.position));
        for it in
            self.targets.iter_mut().filter(|it| it.state == TargetState::CatchUp && it.trying_at.is_none())
        {
            it.again_at = it.again_at.map(|at| at.min(now));
        }
        self.campaign.forgiven = self.counts().tally;
        (self.campaign.state, self.campaign.pause) = (CampaignState::Running, None);
    }

    /// The oldest try ends as the test says, and what was outstanding too.
    fn end_one(&mut self) {
        let watched = |it: &CampaignTarget| {
            it.trying_at.is_some() || (it.state == TargetState::CatchUp && it.again_at.is_none())
        };
        let Some(at) = self.targets.iter().position(watched) else { return };
        let end = self.ends.pop().unwrap_or(End::Done);
        self.targets[at] = settle(&self.campaign, &self.targets[at], end.verdict(), self.now, ("R", "M"));
    }
}

/// A host was down, and the old key is in use.
fn is_down(it: &CampaignTarget) -> bool {
    match it.state {
        TargetState::CatchUp => it.again_at.is_some(),
        state => state == TargetState::Failed && it.give_up_at.is_some(),
    }
}

fn target(position: i64, wave: u32) -> CampaignTarget {
    CampaignTarget {
        position,
        access: AccessId::random().unwrap(),
        tenant: TenantId::random().unwrap(),
        account: String::new(),
        hosts: Vec::new(),
        wave,
        state: TargetState::Pending,
        rotation: None,
        reason: String::new(),
        message: String::new(),
        due_at: None,
        trying_at: None,
        attempts: 0,
        again_at: None,
        give_up_at: None,
    }
}

fn ends() -> impl Strategy<Value = Vec<End>> {
    let one = prop_oneof![
        6 => Just(End::Done),
        2 => Just(End::Failed),
        2 => Just(End::Down),
        1 => Just(End::Skipped),
        1 => Just(End::Outstanding),
    ];
    prop::collection::vec(one, 0..80)
}

fn plans() -> impl Strategy<Value = CampaignPlan> {
    (1u32..4, 0u64..100, 1u32..5, 1u32..6, 0u32..=100, 0u64..2_000).prop_map(
        |(canary, soak, growth, max_parallel, failure_budget, catch_up)| CampaignPlan {
            canary,
            soak: Duration::from_secs(soak),
            growth,
            max_parallel,
            failure_budget,
            catch_up: Duration::from_secs(catch_up),
        },
    )
}

proptest! {
    /// Whatever happens: places, order, soaks and ends hold (see the assertions of the simulation); a pause by the budget
    /// comes exactly when it is exceeded; and in the end every target has come to its own.
    #[test]
    fn every_course_keeps_its_promises(
        plan in plans(),
        targets in 0usize..40,
        ends in ends(),
        freezes in prop::collection::vec(0usize..200, 0..4),
    ) {
        let mut world = Simulation::new(plan, targets, ends);
        for turn in 0..5_000 {
            if freezes.contains(&turn) {
                world.frozen = !world.frozen;
            }
            let before = world.campaign.pause;
            let moved = world.turn();
            if world.campaign.pause == Some(PauseReason::FailureBudget) {
                let Tally { finished, failed } = world.counts().tally;
                let Tally { finished: of, failed: forgiven } = world.campaign.forgiven;
                let over = (failed - forgiven) * 100 > (finished - of) * world.campaign.plan.failure_budget;
                prop_assert!(over || before.is_some(), "paused within its budget");
            }
            if !moved {
                if world.campaign.pause.is_none_or(|pause| !pause.is_of_targets()) {
                    break;
                }
                world.resume();
            }
            if turn > 1_000 {
                world.frozen = false;
            }
        }
        prop_assert_eq!(world.campaign.state, CampaignState::Succeeded);
        prop_assert!(world.begun.is_sorted(), "targets are begun in their order");
        prop_assert_eq!(world.begun.len(), targets, "each once, as its first try");
    }
}

#[test]
fn waves_widen_and_hold_everybody() {
    let plan = |canary, growth| CampaignPlan {
        canary,
        soak: Duration::ZERO,
        growth,
        max_parallel: 5,
        failure_budget: 5,
        catch_up: Duration::ZERO,
    };
    assert_eq!(waves(&plan(1, 4), 5_000), [1, 4, 16, 64, 256, 1024, 3635]);
    assert_eq!(waves(&plan(2, 1), 5), [2, 2, 1]);
    assert_eq!(waves(&plan(10, 4), 3), [3]);
    assert!(waves(&plan(1, 4), 0).is_empty());
}

#[test]
fn a_host_that_is_down_never_counts() {
    let plan = CampaignPlan {
        canary: 1,
        soak: Duration::ZERO,
        growth: 1,
        max_parallel: 1,
        failure_budget: 0,
        catch_up: Duration::from_secs(60),
    };
    let mut world = Simulation::new(plan, 4, vec![End::Down; 60]);
    let mut pauses = 0;
    while world.turn() || world.campaign.state == CampaignState::Paused {
        if world.campaign.state == CampaignState::Paused {
            assert_eq!(world.campaign.pause, Some(PauseReason::Unreachable), "no failure, whatever it is");
            pauses += 1;
            world.resume();
        }
    }
    assert_eq!((world.campaign.state, pauses), (CampaignState::Succeeded, 4), "every wave stops once");
    assert!(world.targets.iter().all(|it| it.state == TargetState::Failed && it.give_up_at.is_some()));
}

fn patient(canary: u32, catch_up: u64) -> CampaignPlan {
    CampaignPlan {
        canary,
        soak: Duration::from_secs(100),
        growth: 4,
        max_parallel: 5,
        failure_budget: 100,
        catch_up: Duration::from_secs(catch_up),
    }
}

/// `ends` in their order.
fn course(canary: u32, catch_up: u64, mut ends: Vec<End>) -> Simulation {
    ends.reverse();
    Simulation::new(patient(canary, catch_up), 8, ends)
}

#[test]
fn a_canary_that_waits_for_its_host_is_waited_for_and_soaks_afterwards() {
    let mut world = course(3, 3_600, vec![End::Done, End::Down, End::Done, End::Down]);
    let back = loop {
        assert!(world.turn());
        assert_eq!((world.campaign.wave.min(1), world.campaign.pause), (world.campaign.wave, None));
        if world.targets.iter().filter(|it| it.state == TargetState::Succeeded).count() == 3 {
            break world.now;
        }
        assert_eq!(world.campaign.soak_until, None, "what is not proven does not soak");
    };
    while world.campaign.wave == 1 {
        assert!(world.turn());
    }
    assert!(world.now.micros() - back.micros() >= 100_000_000, "it soaks when the last one is proven");
}

#[test]
fn a_canary_that_is_not_proven_pauses_and_an_operator_may_go_on() {
    let given_up = [vec![End::Done, End::Done], vec![End::Down; 20]].concat();
    for ends in [vec![End::Done, End::Failed, End::Done], vec![End::Skipped; 3], given_up] {
        let mut world = course(3, 60, ends);
        while world.turn() {}
        assert_eq!((world.campaign.pause, world.campaign.wave), (Some(PauseReason::Canary), 1));
        world.resume();
        world.ends.clear();
        while world.turn() {}
        assert_eq!(world.campaign.state, CampaignState::Succeeded);
    }
}

#[test]
fn most_hosts_of_a_wave_that_are_down_pause_it_before_all_are_tried() {
    let ends = [vec![End::Done], vec![End::Down; 200]].concat();
    let mut world = Simulation::new(patient(1, 3_600), 100, ends.into_iter().rev().collect());
    world.campaign.waves = vec![1, 99];
    for it in world.targets.iter_mut().filter(|it| it.wave > 1) {
        it.wave = 2;
    }
    while world.turn() {}
    assert_eq!(world.campaign.pause, Some(PauseReason::Unreachable));
    assert!(world.begun.len() < 20, "{} were tried", world.begun.len());
    world.resume();
    world.ends = vec![End::Down; 2];
    while world.turn() {}
    assert_eq!(world.campaign.state, CampaignState::Succeeded);
}

#[test]
fn what_becomes_of_a_target_follows_from_its_rotation() {
    let down = Reason::HostUnreachable.as_str();
    let cases = [
        (RotationState::Running, false, false, "", Verdict::Runs),
        (RotationState::Running, false, true, "", Verdict::Runs),
        (RotationState::Converging, true, false, "", Verdict::Done),
        (RotationState::Converging, true, true, "", Verdict::Outstanding),
        (RotationState::Succeeded, true, false, "", Verdict::Done),
        (RotationState::Failed, false, true, down, Verdict::Down),
        (RotationState::Failed, false, true, "HOST_FILE_READ_ONLY", Verdict::Fail),
        (RotationState::Stuck, false, true, down, Verdict::Fail),
        (RotationState::Superseded, false, true, "ACCESS_REVOKED", Verdict::Skip),
    ];
    for (state, promoted, outstanding, reason, verdict) in cases {
        assert_eq!(after_rotation(state, promoted, outstanding, reason), verdict, "{state:?} {reason}");
    }
    let refusals = [
        (Reason::GraceInProgress, Verdict::Skip),
        (Reason::TenantSuspended, Verdict::Skip),
        (Reason::ServerInactive, Verdict::Fail),
        (Reason::SecretStoreSealed, Verdict::Later),
        (Reason::AuditUnavailable, Verdict::Later),
        (Reason::RecoveryMode, Verdict::Later),
    ];
    for (reason, verdict) in refusals {
        assert_eq!(after_refusal(reason), verdict, "{reason:?}");
    }
    assert_eq!(
        (pause(1), pause(3), pause(99)),
        (Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(900))
    );
}
