//! What comes next in a campaign, from what is recorded. No clock, no I/O: `now` is a parameter.

use crate::model::{CampaignPlan, CampaignState, PauseReason, RotationState, Tally};
use keywright_domain::clock::Instant;
use keywright_domain::reason::{Reason, Retry};
use std::time::Duration;

/// How often what runs is looked at, and whether a freeze was lifted.
const LOOK: Duration = Duration::from_secs(1);
const FIRST_AGAIN: Duration = Duration::from_secs(15);
const LONGEST_AGAIN: Duration = Duration::from_secs(900);
/// So many of a wave's targets say something about all of them before the wave has ended.
const SAMPLE: u32 = 10;

/// A campaign as it is recorded at one moment.
#[derive(Debug, Clone)]
pub struct Standing<'a> {
    pub state: CampaignState,
    pub pause: Option<PauseReason>,
    /// All automation is stopped.
    pub frozen: bool,
    pub plan: &'a CampaignPlan,
    pub waves: usize,
    /// From 1; 0 before the first.
    pub wave: u32,
    pub soak_until: Option<Instant>,
    pub forgiven: Tally,
    pub counts: Counts,
    pub now: Instant,
}

/// How many of its targets stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of the waves that are open.
    pub pending: u32,
    /// Of those that are not.
    pub later: u32,
    /// Tried for the first time.
    pub running: u32,
    /// All that have one of the places: tried for the first time or again.
    pub trying: u32,
    /// Have a place, but no rotation yet: whoever drove before was cut off.
    pub unbegun: u32,
    /// Wait for a host, tried or not.
    pub catching: u32,
    /// Of them: may be tried again now.
    pub again: u32,
    /// Of them: their time is over.
    pub over: u32,
    /// Of them: their rotation goes on by itself.
    pub outstanding: u32,
    /// Came to an end by themselves, those that waited for a host aside.
    pub tally: Tally,
    pub canary: Canary,
    pub reach: Reach,
    /// The next instant at which `again` or `over` grows.
    pub next: Option<Instant>,
}

/// The targets of the first wave. An operator who resumed the campaign has excused those that were not proven then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Canary {
    /// Their new keys are proven on every host.
    pub proven: u32,
    /// Came to another end.
    pub missed: u32,
    /// Wait for a host, or their rotations have not settled.
    pub waiting: u32,
    pub excused: u32,
}

/// The targets of the wave that runs, but for those that were excused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// Were tried to an end.
    pub tried: u32,
    /// Of them: a host was down, and their old keys are in use.
    pub down: u32,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Finish what an earlier driver began.
    Begin,
    OpenWave(u32),
    /// One pending target of the open waves.
    Start,
    /// One target whose host was down.
    StartAgain,
    /// The targets whose time to catch up is over.
    GiveUp,
    Soak(Instant),
    Pause(PauseReason),
    Resume,
    Finish,
    Wait(Instant),
    /// Nothing, until somebody does something.
    Nothing,
}

pub fn next(at: &Standing<'_>) -> Next {
    let counts = &at.counts;
    if counts.unbegun > 0 {
        return Next::Begin;
    }
    match (at.state, at.pause) {
        (CampaignState::Running, _) => running(at),
        (CampaignState::Paused, Some(PauseReason::Frozen)) if !at.frozen => Next::Resume,
        (CampaignState::Paused, Some(PauseReason::Frozen)) => Next::Wait(at.now.plus(LOOK)),
        // What runs, goes on, and its end is recorded.
        _ if counts.trying > 0 => Next::Wait(at.now.plus(LOOK)),
        _ => Next::Nothing,
    }
}

fn running(at: &Standing<'_>) -> Next {
    let counts = &at.counts;
    let left = counts.pending > 0 || counts.later > 0 || counts.catching > 0;
    if at.frozen {
        return Next::Pause(PauseReason::Frozen);
    }
    if left && is_over_budget(at.plan, counts.tally, at.forgiven) {
        return Next::Pause(PauseReason::FailureBudget);
    }
    if counts.over > 0 {
        return Next::GiveUp;
    }
    if at.wave == 0 {
        return Next::OpenWave(1);
    }
    let has_ended = counts.pending == 0 && counts.running == 0;
    if is_cut_off(counts.reach, has_ended) {
        return Next::Pause(PauseReason::Unreachable);
    }
    let room = counts.trying < at.plan.max_parallel;
    if room && counts.pending > 0 {
        return Next::Start;
    }
    if room && counts.again > 0 {
        return Next::StartAgain;
    }
    if has_ended {
        let more = usize::try_from(at.wave).is_ok_and(|wave| wave < at.waves);
        let Canary { proven, missed, waiting, excused } = counts.canary;
        match (more, at.soak_until) {
            (true, _) if at.wave == 1 && (waiting > 0 || counts.trying > 0) => {}
            (true, _) if at.wave == 1 && (missed > 0 || proven.saturating_add(excused) == 0) => {
                return Next::Pause(PauseReason::Canary);
            }
            (true, None) => return Next::Soak(at.now.plus(at.plan.soak)),
            (true, Some(until)) if until <= at.now => return Next::OpenWave(at.wave.saturating_add(1)),
            (false, _) if counts.catching == 0 => return Next::Finish,
            _ => {}
        }
    }
    wait(at)
}

fn wait(at: &Standing<'_>) -> Next {
    let settles = at.wave == 1 && at.counts.canary.waiting > 0;
    let looked_at = at.counts.trying > 0 || at.counts.outstanding > 0 || settles;
    let look = looked_at.then(|| at.now.plus(LOOK));
    let soaked = at.soak_until.filter(|until| *until > at.now);
    [look, soaked, at.counts.next].into_iter().flatten().min().map_or(Next::Nothing, Next::Wait)
}

/// Whether more than the budget of what came to an end failed, but for what was forgiven.
fn is_over_budget(plan: &CampaignPlan, tally: Tally, forgiven: Tally) -> bool {
    let failed = u64::from(tally.failed.saturating_sub(forgiven.failed));
    let finished = u64::from(tally.finished.saturating_sub(forgiven.finished));
    failed.saturating_mul(100) > finished.saturating_mul(u64::from(plan.failure_budget))
}

/// Whether most of the wave's hosts are down: then it is more than a host here and there.
const fn is_cut_off(reach: Reach, has_ended: bool) -> bool {
    (has_ended || reach.tried >= SAMPLE) && reach.down > reach.tried / 2
}

/// How many targets each wave has.
pub fn waves(plan: &CampaignPlan, targets: usize) -> Vec<u32> {
    let (mut left, mut size) = (u32::try_from(targets).unwrap_or(u32::MAX), plan.canary.max(1));
    let mut waves = Vec::new();
    while left > 0 {
        let wave = size.min(left);
        waves.push(wave);
        left = left.saturating_sub(wave);
        size = size.saturating_mul(plan.growth.max(1));
    }
    waves
}

/// What becomes of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Runs,
    Done,
    /// Nothing was wrong with it: it is not to be rotated any more.
    Skip,
    Fail,
    /// A host is down: to be tried again.
    Down,
    /// Its new key is in use, and its rotation goes on until the last host has it.
    Outstanding,
    /// Nothing was begun, for a reason that is not the target's.
    Later,
}

/// When its rotation could not be begun.
pub const fn after_refusal(reason: Reason) -> Verdict {
    match reason {
        Reason::AccessRevoked
        | Reason::AccessNotFound
        | Reason::GraceInProgress
        | Reason::RotationInProgress
        | Reason::PolicyForbids
        | Reason::TenantSuspended
        | Reason::TenantNotFound
        | Reason::Frozen => Verdict::Skip,
        Reason::HostUnreachable => Verdict::Down,
        reason => match reason.retry() {
            Retry::AfterDelay => Verdict::Later,
            Retry::No | Retry::AfterReading => Verdict::Fail,
        },
    }
}

/// By how its rotation stands.
pub fn after_rotation(state: RotationState, promoted: bool, outstanding: bool, reason: &str) -> Verdict {
    match state {
        RotationState::Succeeded => Verdict::Done,
        RotationState::Superseded => Verdict::Skip,
        RotationState::Stuck => Verdict::Fail,
        RotationState::Failed if reason == Reason::HostUnreachable.as_str() => Verdict::Down,
        RotationState::Failed => Verdict::Fail,
        RotationState::Running | RotationState::Converging => match (promoted, outstanding) {
            (false, _) => Verdict::Runs,
            (true, false) => Verdict::Done,
            (true, true) => Verdict::Outstanding,
        },
    }
}

/// Between two tries of a target whose host is down: doubles from 15 seconds to 15 minutes.
pub fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(6);
    FIRST_AGAIN.saturating_mul(1 << doublings).min(LONGEST_AGAIN)
}
