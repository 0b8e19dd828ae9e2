//! Pauses, resumes and cancels a campaign. What runs, goes on.

use super::{missing, parse_id};
use crate::model::{Campaign, CampaignState, PauseReason};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::CampaignId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::instrument;

const ACTION: &str = "campaign.control";

#[derive(Clone)]
pub struct ControlCampaign {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub wake: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Pause,
    Resume,
    Cancel,
}

impl Step {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

impl ControlCampaign {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, id: &str, step: Step) -> Result<CampaignId, Failure> {
        self.guard.allow(caller, ACTION, None, id, Reason::CampaignNotFound).await?;
        let id = parse_id(id)?;
        let entry = Entry::new(ACTION).target(id.as_str()).detail("step", step.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.db.serialized(|| self.turn(&id, step, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        self.wake.notify_one();
        result.map(|()| id)
    }

    async fn turn(&self, id: &CampaignId, step: Step, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        let found = store::campaign::find(tx.conn(), id).await?;
        let found = found.filter(|campaign| campaign.state != CampaignState::Preparing);
        let mut campaign = found.ok_or_else(|| missing(id.as_str()))?;
        match step {
            Step::Pause => pause(&mut campaign)?,
            Step::Resume => resume(&mut tx, &mut campaign).await?,
            Step::Cancel => cancel(&mut tx, &mut campaign).await?,
        }
        campaign.next_at = Some(tx.now());
        store::campaign::update(&mut tx, &campaign).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Whatever paused it before: now it takes an operator to go on.
fn pause(campaign: &mut Campaign) -> Result<(), Failure> {
    refuse_ended(campaign)?;
    campaign.state = CampaignState::Paused;
    campaign.pause = Some(PauseReason::Operator);
    Ok(())
}

async fn resume(tx: &mut Tx, campaign: &mut Campaign) -> Result<(), Error> {
    refuse_ended(campaign)?;
    if store::campaign::frozen(tx.conn()).await?.0 {
        return Err(Failure::new(Reason::Frozen, "Automatic work is stopped.").into());
    }
    if campaign.pause.is_some_and(PauseReason::is_of_targets) {
        let now = tx.now();
        let counts = store::campaign_target::counts(tx.conn(), &campaign.id, campaign.wave, now).await?;
        campaign.forgiven = counts.tally;
        store::campaign_target::excuse(tx, &campaign.id, campaign.wave).await?;
    }
    campaign.state = CampaignState::Running;
    campaign.pause = None;
    Ok(())
}

async fn cancel(tx: &mut Tx, campaign: &mut Campaign) -> Result<(), Error> {
    if campaign.state == CampaignState::Cancelled {
        return Ok(());
    }
    refuse_ended(campaign)?;
    store::campaign_target::cancel(tx, &campaign.id).await?;
    campaign.state = CampaignState::Cancelled;
    campaign.pause = None;
    campaign.finished_at = Some(tx.now());
    Ok(())
}

fn refuse_ended(campaign: &Campaign) -> Result<(), Failure> {
    if campaign.has_ended() {
        return Err(Failure::new(Reason::CampaignEnded, "The campaign has ended."));
    }
    Ok(())
}
