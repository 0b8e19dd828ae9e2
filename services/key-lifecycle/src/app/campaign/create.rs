//! Starts a campaign, or says exactly what it would do.

use super::parse::{self, AskedPlan, AskedSelector};
use super::read::CampaignView;
use crate::app::gates;
use crate::app::start_rotation::LONGEST_GRACE;
use crate::campaign::{Candidate, Chosen, Selection, plan};
use crate::model::{Campaign, CampaignState, CampaignTarget, Tally, TargetState};
use crate::{recovery, store};
use keywright_domain::caller::Caller;
use keywright_domain::ids::CampaignId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::repeat;
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::instrument;

const ACTION: &str = "campaign.create";
/// Targets that are written in one transaction.
const AT_ONCE: usize = 500;
/// After this a campaign whose maker died is thrown away; no request lives so long.
const PREPARATION: Duration = Duration::from_secs(300);

#[derive(Clone)]
pub struct CreateCampaign {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub selection: Selection,
    pub wake: Arc<Notify>,
}

/// As it was asked for.
#[derive(Debug)]
pub struct NewCampaign {
    pub selector: AskedSelector,
    pub plan: AskedPlan,
    pub grace: Result<Option<Duration>, Failure>,
    pub dry_run: bool,
    pub confirmed: Option<i32>,
    pub comment: String,
    pub scope: Result<Option<Scope>, Failure>,
}

/// What became of it.
pub enum Created {
    Preview(Box<CampaignView>),
    Begun(CampaignId),
}

impl CreateCampaign {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, asked: NewCampaign) -> Result<Created, Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::PermissionDenied).await?;
        let (dry_run, confirmed) = (asked.dry_run, asked.confirmed);
        let (mut campaign, scope) = self.parse(caller, asked).await?;
        if dry_run {
            let chosen = self.selection.run(&campaign.selector).await?;
            campaign.waves = plan::waves(&campaign.plan, chosen.targets.len());
            let targets = targets(chosen, &campaign.waves);
            return Ok(Created::Preview(Box::new(CampaignView::preview(campaign, targets))));
        }
        if let Some(before) = self.earlier(scope.as_ref()).await? {
            return Ok(Created::Begun(before));
        }
        self.refuse_while_frozen().await?;
        recovery::refuse_while_active(&self.db).await?;
        let Some(confirmed) = confirmed else {
            let message = "The number of accesses that are rotated has to be confirmed.";
            return Err(Failure::new(Reason::ConfirmationRequired, message));
        };
        let chosen = self.selection.run(&campaign.selector).await?;
        let count = chosen.targets.len();
        if usize::try_from(confirmed) != Ok(count) {
            let message = format!("{count} accesses would be rotated, which is not the confirmed number.");
            let failure = Failure::new(Reason::ConfirmationMismatch, message);
            return Err(failure.with("targetCount", count.to_string()));
        }
        if count == 0 {
            return Err(Failure::violation("selector", "matches no access that can be rotated now"));
        }
        campaign.waves = plan::waves(&campaign.plan, count);
        let targets = targets(chosen, &campaign.waves);
        let entry = Entry::new(ACTION).target(campaign.id.as_str()).comment(&campaign.comment);
        let entry = entry.detail("targets", count.to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.start(&campaign, &targets, scope.as_ref(), &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        self.wake.notify_one();
        result.map(Created::Begun)
    }

    async fn parse(&self, caller: &Caller, asked: NewCampaign) -> Result<(Campaign, Option<Scope>), Failure> {
        gates::comment(&asked.comment)?;
        let grace = asked.grace?;
        if grace.is_some_and(|grace| grace > LONGEST_GRACE) {
            return Err(Failure::violation("gracePeriod", "must be from 0 to 7 days"));
        }
        let now = self.db.now().await?;
        let campaign = Campaign {
            id: CampaignId::random()?,
            state: CampaignState::Preparing,
            pause: None,
            selector: parse::selector(asked.selector)?,
            plan: parse::plan(asked.plan)?,
            grace,
            comment: asked.comment,
            created_by: caller.principal.id.clone(),
            created_at: now,
            finished_at: None,
            wave: 0,
            waves: Vec::new(),
            soak_until: None,
            forgiven: Tally::default(),
            next_at: Some(now.plus(PREPARATION)),
        };
        Ok((campaign, asked.scope?))
    }

    async fn refuse_while_frozen(&self) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        match store::campaign::frozen(&mut reader).await? {
            (true, _) => Err(Failure::new(Reason::Frozen, "Automatic work is stopped.")),
            (false, _) => Ok(()),
        }
    }

    /// What the same request began before.
    async fn earlier(&self, scope: Option<&Scope>) -> Result<Option<CampaignId>, Failure> {
        let before = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("the first answer to the same request").await?;
            repeat::first_answer(&mut tx, scope).await
        });
        Ok(before.await?.and_then(|id| CampaignId::parse(&id).ok()))
    }

    /// The campaign is there for nobody until all its targets are.
    async fn start(
        &self,
        campaign: &Campaign,
        targets: &[CampaignTarget],
        scope: Option<&Scope>,
        intent: &Intent,
    ) -> Result<CampaignId, Failure> {
        self.db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                store::campaign::insert(&mut tx, campaign).await?;
                tx.commit().await?;
                Ok::<(), Error>(())
            })
            .await?;
        for some in targets.chunks(AT_ONCE) {
            self.db
                .serialized(|| async {
                    let mut tx = self.db.begin(intent).await?;
                    for target in some {
                        store::campaign_target::insert(&mut tx, &campaign.id, target).await?;
                    }
                    tx.commit().await?;
                    Ok::<(), Error>(())
                })
                .await?;
        }
        Ok(self.db.serialized(|| self.finish(campaign, scope, intent)).await?)
    }

    async fn finish(
        &self,
        campaign: &Campaign,
        scope: Option<&Scope>,
        intent: &Intent,
    ) -> Result<CampaignId, Error> {
        let mut tx = self.db.begin(intent).await?;
        if let Some(before) = repeat::first_answer(&mut tx, scope).await? {
            let before = CampaignId::parse(&before).map_err(|_| super::missing(&before))?;
            intent.done(&mut tx, Outcome::succeeded().with("campaignId", before.as_str())).await?;
            tx.commit().await?;
            return Ok(before);
        }
        if store::campaign::frozen(tx.conn()).await?.0 {
            return Err(Failure::new(Reason::Frozen, "Automatic work is stopped.").into());
        }
        let running = Campaign { state: CampaignState::Running, next_at: Some(tx.now()), ..campaign.clone() };
        store::campaign::update(&mut tx, &running).await?;
        repeat::remember(&mut tx, scope, campaign.id.as_str()).await?;
        intent.done(&mut tx, Outcome::succeeded().with("campaignId", campaign.id.as_str())).await?;
        tx.commit().await?;
        Ok(campaign.id.clone())
    }
}

/// Those that are rotated, in the order of their waves, then those that are skipped.
fn targets(chosen: Chosen, waves: &[u32]) -> Vec<CampaignTarget> {
    let numbers = (1u32..).zip(waves).flat_map(|(wave, size)| (0..*size).map(move |_| wave));
    let rotated = chosen.targets.into_iter().zip(numbers).map(|(candidate, wave)| (candidate, wave, None));
    let skipped = chosen.skipped.into_iter().map(|(candidate, why)| (candidate, 0, Some(why)));
    let all = (1i64..).zip(rotated.chain(skipped));
    all.map(|(position, (candidate, wave, why))| target(position, candidate, wave, why)).collect()
}

fn target(position: i64, candidate: Candidate, wave: u32, why: Option<Failure>) -> CampaignTarget {
    let facts = candidate.facts;
    CampaignTarget {
        position,
        access: facts.access,
        tenant: facts.tenant,
        account: facts.account,
        hosts: candidate.servers.into_iter().map(|(_, name)| name).collect(),
        wave,
        state: if why.is_some() { TargetState::Skipped } else { TargetState::Pending },
        rotation: None,
        reason: why.as_ref().map(|why| why.reason.as_str().to_owned()).unwrap_or_default(),
        message: why.map(|why| why.message).unwrap_or_default(),
        due_at: candidate.due_at,
        trying_at: None,
        attempts: 0,
        again_at: None,
        give_up_at: None,
    }
}
