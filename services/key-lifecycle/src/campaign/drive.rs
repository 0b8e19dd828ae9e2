//! Drives one campaign: looks at the rotations that run, asks the plan, does the next thing, until there is nothing to
//! do now.

use super::plan::{self, Counts, Next, Standing, Verdict};
use crate::app::start_rotation::StartRotation;
use crate::model::{
    Campaign, CampaignState, CampaignTarget, Notice, Origin, PauseReason, RotationState, Tally, TargetState,
};
use crate::store;
use crate::store::campaign_target::Watched;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CampaignId, RotationId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome, Tx};
use std::time::Duration;
use tracing::instrument;

/// Rows that one transaction changes at most.
const AT_ONCE: i64 = 200;

#[derive(Clone)]
pub struct Driver {
    pub db: Db,
    pub audit: Audit,
    pub start: StartRotation,
}

struct Task {
    campaign: Campaign,
    counts: Counts,
    frozen: bool,
    now: Instant,
}

impl Driver {
    /// As far as it goes now.
    #[instrument(skip_all, fields(campaign = %id))]
    pub async fn run(&self, id: &CampaignId) -> Result<(), Failure> {
        while self.once(id).await? {}
        Ok(())
    }

    /// The next thing alone; false when there is nothing to do now.
    pub async fn once(&self, id: &CampaignId) -> Result<bool, Failure> {
        self.observe(id).await?;
        let Some(task) = self.load(id).await? else { return Ok(false) };
        if task.campaign.state == CampaignState::Preparing {
            return self.discard(id).await;
        }
        let campaign = &task.campaign;
        let standing = Standing {
            state: campaign.state,
            pause: campaign.pause,
            frozen: task.frozen,
            plan: &campaign.plan,
            waves: campaign.waves.len(),
            wave: campaign.wave,
            soak_until: campaign.soak_until,
            forgiven: campaign.forgiven,
            counts: task.counts,
            now: task.now,
        };
        match plan::next(&standing) {
            Next::Begin => self.begin_again(campaign).await?,
            Next::OpenWave(wave) => self.open_wave(&task, wave).await?,
            Next::Start => self.start(&task, false).await?,
            Next::StartAgain => self.start(&task, true).await?,
            Next::GiveUp => self.give_up(id).await?,
            Next::Soak(until) => self.change(id, |it| it.soak_until = Some(until)).await?,
            Next::Pause(reason) => self.pause_for(&task, reason).await?,
            Next::Resume => self.resume(id).await?,
            Next::Finish => self.finish(&task).await?,
            Next::Wait(until) => {
                self.look_again(campaign, Some(until)).await?;
                return Ok(false);
            }
            Next::Nothing => {
                self.look_again(campaign, None).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn load(&self, id: &CampaignId) -> Result<Option<Task>, Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let Some(campaign) = store::campaign::find(&mut reader, id).await? else { return Ok(None) };
        let counts = store::campaign_target::counts(&mut reader, id, campaign.wave, now).await?;
        let (frozen, _) = store::campaign::frozen(&mut reader).await?;
        Ok(Some(Task { campaign, counts, frozen, now }))
    }

    /// Its maker died before everything was there: nobody ever saw it.
    async fn discard(&self, id: &CampaignId) -> Result<bool, Failure> {
        let left: bool = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("a campaign that was never begun").await?;
                let left = store::campaign_target::discard_some(&mut tx, id, AT_ONCE).await?;
                if !left {
                    store::campaign::discard(&mut tx, id).await?;
                }
                tx.commit().await?;
                Ok::<bool, Error>(left)
            })
            .await?;
        Ok(left)
    }

    /// Records what became of the rotations that were begun.
    async fn observe(&self, id: &CampaignId) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let watched = store::campaign_target::watched(&mut reader, id).await?;
        drop(reader);
        for seen in watched {
            let verdict = plan::after_rotation(seen.state, seen.promoted, seen.outstanding, &seen.reason);
            if verdict != Verdict::Runs {
                self.db.serialized(|| self.record(id, &seen, verdict)).await?;
            }
        }
        Ok(())
    }

    async fn record(&self, id: &CampaignId, seen: &Watched, verdict: Verdict) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("what became of a campaign's target").await?;
        let (campaign, target) = both(&mut tx, id, seen.position).await?;
        if target.rotation.as_ref() == Some(&seen.rotation) {
            let now = tx.now();
            let (reason, message) = match seen.state {
                RotationState::Running | RotationState::Converging => {
                    (Reason::HostUnreachable.as_str(), "A host does not have the new key yet.")
                }
                _ => (seen.reason.as_str(), seen.message.as_str()),
            };
            let settled = settle(&campaign, &target, verdict, now, (reason, message));
            if settled != target {
                store::campaign_target::update(&mut tx, id, &settled).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Fills the places that are free; looks again first where one fails at once.
    async fn start(&self, task: &Task, again: bool) -> Result<(), Failure> {
        let campaign = &task.campaign;
        for _ in task.counts.trying..campaign.plan.max_parallel {
            match self.db.serialized(|| self.place(&campaign.id, again)).await? {
                Some(target) if self.begin(campaign, &target).await? => {}
                _ => break,
            }
        }
        Ok(())
    }

    /// Recorded before anything is begun, and only while the campaign runs and has room.
    async fn place(&self, id: &CampaignId, again: bool) -> Result<Option<CampaignTarget>, Error> {
        let mut tx = self.db.begin_internal("a campaign's target gets a place").await?;
        let now = tx.now();
        let Some(campaign) = store::campaign::find(tx.conn(), id).await? else { return Ok(None) };
        let trying = store::campaign_target::trying(tx.conn(), id).await?;
        if campaign.state != CampaignState::Running || trying >= campaign.plan.max_parallel {
            return Ok(None);
        }
        let next = if again {
            store::campaign_target::first_again(tx.conn(), id, now).await?
        } else {
            store::campaign_target::first_pending(tx.conn(), id, campaign.wave).await?
        };
        let Some(mut target) = next else { return Ok(None) };
        if !again {
            target.state = TargetState::Running;
        }
        target.trying_at = Some(now);
        target.rotation = None;
        target.attempts = target.attempts.saturating_add(1);
        store::campaign_target::update(&mut tx, id, &target).await?;
        tx.commit().await?;
        Ok(Some(target))
    }

    /// Answered with what was begun before, where that goes on. False where it failed.
    async fn begin(&self, campaign: &Campaign, target: &CampaignTarget) -> Result<bool, Failure> {
        let origin = Origin::Campaign(campaign.id.clone());
        let begun = self.start.start_automatic(&target.access, campaign.grace, &origin).await;
        self.db.serialized(|| self.begun(&campaign.id, target.position, &begun)).await?;
        let Err(failure) = begun else { return Ok(true) };
        match plan::after_refusal(failure.reason) {
            Verdict::Later => Err(failure),
            verdict => Ok(verdict == Verdict::Skip),
        }
    }

    async fn begun(
        &self,
        id: &CampaignId,
        position: i64,
        begun: &Result<RotationId, Failure>,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("a campaign's target is begun").await?;
        let now = tx.now();
        let (campaign, mut target) = both(&mut tx, id, position).await?;
        if target.trying_at.is_some() && target.rotation.is_none() {
            match begun {
                Ok(rotation) => target.rotation = Some(rotation.clone()),
                Err(failure) => {
                    let (frozen, _) = store::campaign::frozen(tx.conn()).await?;
                    let verdict = match plan::after_refusal(failure.reason) {
                        // A freeze of everything pauses the campaign and takes nothing from it.
                        Verdict::Skip if frozen && failure.is(Reason::Frozen) => Verdict::Later,
                        verdict => verdict,
                    };
                    let why = (failure.reason.as_str(), failure.message.as_str());
                    target = settle(&campaign, &target, verdict, now, why);
                }
            }
            store::campaign_target::update(&mut tx, id, &target).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Whoever drove before was cut off between a place and its rotation.
    async fn begin_again(&self, campaign: &Campaign) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let Some(target) = store::campaign_target::first_unbegun(&mut reader, &campaign.id).await? else {
            return Ok(());
        };
        let before = store::rotation::of_campaign(&mut reader, &campaign.id, &target.access).await?;
        drop(reader);
        if campaign.state == CampaignState::Running {
            return self.begin(campaign, &target).await.map(|_| ());
        }
        // Nothing further is begun; what was, is kept.
        let begun = before.filter(|rotation| !rotation.state.is_final()).map(|rotation| rotation.id);
        let begun =
            begun.ok_or_else(|| Failure::new(Reason::RequestInProgress, "The campaign does not run."));
        self.db.serialized(|| self.begun(&campaign.id, target.position, &begun)).await?;
        Ok(())
    }

    async fn open_wave(&self, task: &Task, wave: u32) -> Result<(), Failure> {
        let id = &task.campaign.id;
        let caller = Caller::background(ServiceName::KeyLifecycle, id.as_str());
        let size = usize::try_from(wave.saturating_sub(1)).ok().and_then(|at| task.campaign.waves.get(at));
        let entry = Entry::new("campaign.wave").target(id.as_str()).detail("wave", wave.to_string());
        let entry = entry.detail("targets", size.copied().unwrap_or_default().to_string());
        let intent = self.audit.intend(&caller, entry).await?;
        let opened = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if let Some(mut campaign) = store::campaign::find(tx.conn(), id).await?
                    && campaign.state == CampaignState::Running
                    && campaign.wave == wave.saturating_sub(1)
                {
                    campaign.wave = wave;
                    campaign.soak_until = None;
                    store::campaign::update(&mut tx, &campaign).await?;
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok::<(), Error>(())
            })
            .await
            .map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &opened).await;
        opened
    }

    /// What waited too long for a host has failed; a key that is in use already has not.
    async fn give_up(&self, id: &CampaignId) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a campaign's catch-up is over").await?;
            let now = tx.now();
            for mut target in store::campaign_target::over(tx.conn(), id, now, AT_ONCE).await? {
                target.state =
                    if target.again_at.is_none() { TargetState::Succeeded } else { TargetState::Failed };
                target.again_at = None;
                store::campaign_target::update(&mut tx, id, &target).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn pause_for(&self, task: &Task, reason: PauseReason) -> Result<(), Failure> {
        let Tally { finished, failed } = task.counts.tally;
        let notice = Notice::new("campaign.paused", None, task.campaign.id.as_str())
            .occasion(&task.now.micros().to_string())
            .detail("reason", reason.as_str())
            .detail("finished", finished.to_string())
            .detail("failed", failed.to_string())
            .detail("catchingUp", task.counts.catching.to_string());
        self.turn(&task.campaign.id, "campaign.pause", reason.as_str(), |campaign| {
            let runs = campaign.state == CampaignState::Running;
            if runs {
                campaign.state = CampaignState::Paused;
                campaign.pause = Some(reason);
            }
            runs.then(|| notice.clone())
        })
        .await
    }

    /// The freeze was lifted.
    async fn resume(&self, id: &CampaignId) -> Result<(), Failure> {
        self.turn(id, "campaign.resume", PauseReason::Frozen.as_str(), |campaign| {
            if campaign.pause == Some(PauseReason::Frozen) {
                campaign.state = CampaignState::Running;
                campaign.pause = None;
            }
            None
        })
        .await
    }

    async fn finish(&self, task: &Task) -> Result<(), Failure> {
        let now = task.now;
        let Tally { failed, .. } = task.counts.tally;
        let notice = Notice::new("campaign.finished", None, task.campaign.id.as_str())
            .detail("targets", task.campaign.waves.iter().sum::<u32>().to_string())
            .detail("failed", failed.to_string());
        self.turn(&task.campaign.id, "campaign.finish", "", |campaign| {
            let runs = campaign.state == CampaignState::Running;
            if runs {
                campaign.state = CampaignState::Succeeded;
                campaign.finished_at = Some(now);
                campaign.next_at = None;
            }
            runs.then(|| notice.clone())
        })
        .await
    }

    /// A step that the campaign takes by itself: in the log, and told where it is worth telling.
    async fn turn(
        &self,
        id: &CampaignId,
        action: &str,
        why: &str,
        step: impl Fn(&mut Campaign) -> Option<Notice>,
    ) -> Result<(), Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, id.as_str());
        let intent =
            self.audit.intend(&caller, Entry::new(action).target(id.as_str()).detail("why", why)).await?;
        let turned = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if let Some(mut campaign) = store::campaign::find(tx.conn(), id).await? {
                    let notice = step(&mut campaign);
                    store::campaign::update(&mut tx, &campaign).await?;
                    if let Some(notice) = &notice {
                        store::notice::write(&mut tx, notice).await?;
                    }
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok::<(), Error>(())
            })
            .await
            .map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &turned).await;
        turned
    }

    async fn change(&self, id: &CampaignId, change: impl Fn(&mut Campaign)) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("how a campaign stands").await?;
            if let Some(mut campaign) = store::campaign::find(tx.conn(), id).await? {
                change(&mut campaign);
                store::campaign::update(&mut tx, &campaign).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// Unless somebody turned it meanwhile: then it is looked at again at once.
    async fn look_again(&self, seen: &Campaign, at: Option<Instant>) -> Result<(), Failure> {
        self.change(&seen.id, |campaign| {
            if (campaign.state, campaign.pause, campaign.wave) == (seen.state, seen.pause, seen.wave) {
                campaign.next_at = at;
            }
        })
        .await
    }

    /// After a failure that is no target's: a service or the database did not answer.
    pub async fn put_off(&self, id: &CampaignId, span: Duration) -> Result<(), Failure> {
        let later = self.db.now().await?.plus(span);
        self.change(id, |campaign| {
            if campaign.next_at.is_some() {
                campaign.next_at = Some(later);
            }
        })
        .await
    }
}

async fn both(tx: &mut Tx, id: &CampaignId, position: i64) -> Result<(Campaign, CampaignTarget), Error> {
    let missing = || Failure::not_found(Reason::CampaignNotFound, id.as_str());
    let campaign = store::campaign::find(tx.conn(), id).await?.ok_or_else(missing)?;
    let target = store::campaign_target::find(tx.conn(), id, position).await?.ok_or_else(missing)?;
    Ok((campaign, target))
}

/// The target after the verdict.
pub(super) fn settle(
    campaign: &Campaign,
    before: &CampaignTarget,
    verdict: Verdict,
    now: Instant,
    why: (&str, &str),
) -> CampaignTarget {
    let mut target = before.clone();
    (target.reason, target.message) = (why.0.to_owned(), why.1.to_owned());
    let first = target.give_up_at.is_none();
    let may_wait = !campaign.plan.catch_up.is_zero() && campaign.state != CampaignState::Cancelled;
    let in_time = target.give_up_at.is_none_or(|end| now < end);
    match verdict {
        Verdict::Runs => return before.clone(),
        Verdict::Done => {
            target.state = TargetState::Succeeded;
            target.reason.clear();
            target.message.clear();
        }
        Verdict::Skip => target.state = TargetState::Skipped,
        Verdict::Down if may_wait && in_time => {
            target.state = TargetState::CatchUp;
            target.again_at = Some(now.plus(plan::pause(target.attempts)));
        }
        Verdict::Outstanding if may_wait && in_time => {
            target.state = TargetState::CatchUp;
            target.again_at = None;
        }
        Verdict::Outstanding => target.state = TargetState::Succeeded,
        Verdict::Fail | Verdict::Down => target.state = TargetState::Failed,
        Verdict::Later => {
            (target.reason, target.message) = (before.reason.clone(), before.message.clone());
            target.attempts = target.attempts.saturating_sub(1);
            target.state = match (campaign.state, before.state) {
                (CampaignState::Cancelled, _) => TargetState::Cancelled,
                (_, TargetState::Running) => TargetState::Pending,
                (_, state) => state,
            };
        }
    }
    target.trying_at = None;
    if target.state == TargetState::CatchUp && first {
        target.give_up_at = Some(now.plus(campaign.plan.catch_up));
    }
    target
}
