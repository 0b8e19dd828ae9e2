//! Campaigns.

use super::access::grace;
use super::{number, optional};
use crate::app::campaign::control::{ControlCampaign, Step};
use crate::app::campaign::create::{CreateCampaign, Created, NewCampaign};
use crate::app::campaign::parse::{AskedPlan, AskedSelector};
use crate::app::campaign::read::{CampaignView, ReadCampaigns};
use crate::model::{
    Campaign, CampaignPlan, CampaignState, CampaignTarget, PauseReason, Selector, TargetState, Which,
};
use keywright_domain::caller::Caller;
use keywright_domain::ids::RotationId;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::campaign_service_server::CampaignService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use keywright_runtime::idempotency::{Idempotency, once};
use keywright_runtime::watch::{Snapshots, watch};
use std::time::Duration;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Campaigns {
    pub create: CreateCampaign,
    pub read: ReadCampaigns,
    pub control: ControlCampaign,
    pub idempotency: Idempotency,
}

impl Campaigns {
    async fn turn(&self, caller: &Caller, id: &str, step: Step) -> Result<Option<proto::Campaign>, Status> {
        let id = self.control.run(caller, id, step).await?;
        Ok(Some(encode(&self.read.view(&id).await?)))
    }
}

#[tonic::async_trait]
impl CampaignService for Campaigns {
    async fn create_campaign(
        &self,
        request: Request<proto::CreateCampaignRequest>,
    ) -> Result<Response<proto::CreateCampaignResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let scope = self.idempotency.scope(&caller, "CreateCampaign", &asked.idempotency_key, &asked);
        let claimed = scope.as_ref().ok().filter(|_| !asked.dry_run).cloned().flatten();
        let asked = NewCampaign {
            selector: selector(asked.selector.unwrap_or_default()),
            plan: plan(asked.plan),
            grace: grace(asked.grace_period),
            dry_run: asked.dry_run,
            confirmed: asked.confirmation.map(|confirmation| confirmation.target_count),
            comment: asked.reason,
            scope,
        };
        let view = match once(&self.create.db, claimed.as_ref(), self.create.run(&caller, asked)).await? {
            Created::Preview(view) => *view,
            Created::Begun(id) => self.read.view(&id).await?,
        };
        Ok(Response::new(proto::CreateCampaignResponse { campaign: Some(encode(&view)) }))
    }

    async fn list_campaigns(
        &self,
        request: Request<proto::ListCampaignsRequest>,
    ) -> Result<Response<proto::ListCampaignsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let (views, next_page_token) = self.read.list(&caller, asked.page_size, &asked.page_token).await?;
        let items = views.iter().map(encode).collect();
        Ok(Response::new(proto::ListCampaignsResponse { items, next_page_token }))
    }

    async fn get_campaign(
        &self,
        request: Request<proto::GetCampaignRequest>,
    ) -> Result<Response<proto::GetCampaignResponse>, Status> {
        let id = self.read.authorize(&caller(&request)?, &request.get_ref().campaign_id).await?;
        let campaign = Some(encode(&self.read.view(&id).await?));
        Ok(Response::new(proto::GetCampaignResponse { campaign }))
    }

    async fn list_campaign_targets(
        &self,
        request: Request<proto::ListCampaignTargetsRequest>,
    ) -> Result<Response<proto::ListCampaignTargetsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let state = wanted(asked.state())?;
        let (targets, next_page_token) =
            self.read.targets(&caller, &asked.campaign_id, state, asked.page_size, &asked.page_token).await?;
        let items = targets.iter().map(target).collect();
        Ok(Response::new(proto::ListCampaignTargetsResponse { items, next_page_token }))
    }

    async fn pause_campaign(
        &self,
        request: Request<proto::PauseCampaignRequest>,
    ) -> Result<Response<proto::PauseCampaignResponse>, Status> {
        let campaign = self.turn(&caller(&request)?, &request.get_ref().campaign_id, Step::Pause).await?;
        Ok(Response::new(proto::PauseCampaignResponse { campaign }))
    }

    async fn resume_campaign(
        &self,
        request: Request<proto::ResumeCampaignRequest>,
    ) -> Result<Response<proto::ResumeCampaignResponse>, Status> {
        let campaign = self.turn(&caller(&request)?, &request.get_ref().campaign_id, Step::Resume).await?;
        Ok(Response::new(proto::ResumeCampaignResponse { campaign }))
    }

    async fn cancel_campaign(
        &self,
        request: Request<proto::CancelCampaignRequest>,
    ) -> Result<Response<proto::CancelCampaignResponse>, Status> {
        let campaign = self.turn(&caller(&request)?, &request.get_ref().campaign_id, Step::Cancel).await?;
        Ok(Response::new(proto::CancelCampaignResponse { campaign }))
    }

    type WatchCampaignStream = Snapshots<proto::WatchCampaignResponse>;

    async fn watch_campaign(
        &self,
        request: Request<proto::WatchCampaignRequest>,
    ) -> Result<Response<Self::WatchCampaignStream>, Status> {
        let id = self.read.authorize(&caller(&request)?, &request.get_ref().campaign_id).await?;
        let read = self.read.clone();
        // One that is not there is the answer, not a stream's.
        read.view(&id).await?;
        let look = move || {
            let (read, id) = (read.clone(), id.clone());
            async move { read.view(&id).await }
        };
        let ended = |view: &CampaignView| view.campaign.has_ended();
        let encode = |view: &CampaignView| proto::WatchCampaignResponse { campaign: Some(encode(view)) };
        Ok(Response::new(watch(look, ended, encode)))
    }
}

fn selector(asked: proto::CampaignSelector) -> AskedSelector {
    AskedSelector {
        all: asked.all,
        overdue: asked.overdue,
        due_soon: asked.due_soon,
        access_ids: asked.access_ids,
        labels: asked.labels.into_iter().collect(),
        tenant_id: asked.tenant_id,
    }
}

fn plan(asked: Option<proto::CampaignPlan>) -> AskedPlan {
    let asked = asked.unwrap_or_default();
    AskedPlan {
        canary: asked.canary,
        soak: span("plan.soak", asked.soak),
        growth: asked.growth,
        max_parallel: asked.max_parallel,
        failure_budget_percent: asked.failure_budget_percent,
        catch_up: span("plan.catchUp", asked.catch_up),
    }
}

fn span(field: &str, given: Option<prost_types::Duration>) -> Result<Option<Duration>, Failure> {
    let read =
        |given| Duration::try_from(given).map_err(|_| Failure::violation(field, "must be from 0 to 7 days"));
    given.map(read).transpose()
}

fn wanted(state: proto::CampaignTargetState) -> Result<Option<TargetState>, Status> {
    Ok(match state {
        proto::CampaignTargetState::Unspecified => None,
        proto::CampaignTargetState::Pending => Some(TargetState::Pending),
        proto::CampaignTargetState::Running => Some(TargetState::Running),
        proto::CampaignTargetState::Succeeded => Some(TargetState::Succeeded),
        proto::CampaignTargetState::Failed => Some(TargetState::Failed),
        proto::CampaignTargetState::CatchUp => Some(TargetState::CatchUp),
        proto::CampaignTargetState::Skipped => Some(TargetState::Skipped),
        proto::CampaignTargetState::Cancelled => Some(TargetState::Cancelled),
    })
}

fn encode(view: &CampaignView) -> proto::Campaign {
    let Campaign { id, state, pause, selector, plan, grace, .. } = &view.campaign;
    let campaign = &view.campaign;
    let count = |state| number(view.count(state));
    proto::Campaign {
        id: if view.is_preview() { String::new() } else { id.to_string() },
        state: match state {
            CampaignState::Preparing => proto::CampaignState::Preview,
            CampaignState::Running => proto::CampaignState::Running,
            CampaignState::Paused => proto::CampaignState::Paused,
            CampaignState::Succeeded => proto::CampaignState::Succeeded,
            CampaignState::Cancelled => proto::CampaignState::Cancelled,
        }
        .into(),
        pause_reason: pause.map_or("", PauseReason::as_str).to_owned(),
        selector: Some(encode_selector(selector)),
        plan: Some(encode_plan(plan)),
        grace_period: grace.map(duration),
        comment: campaign.comment.clone(),
        created_by: campaign.created_by.clone(),
        created_at: (!view.is_preview()).then(|| timestamp(campaign.created_at)),
        finished_at: optional(campaign.finished_at),
        target_count: number(campaign.waves.iter().sum()),
        pending: count(TargetState::Pending),
        running: count(TargetState::Running),
        succeeded: count(TargetState::Succeeded),
        failed: count(TargetState::Failed),
        catching_up: count(TargetState::CatchUp),
        skipped: count(TargetState::Skipped),
        cancelled: count(TargetState::Cancelled),
        wave: number(campaign.wave),
        waves: campaign.waves.iter().map(|size| number(*size)).collect(),
        next_wave_at: optional(campaign.soak_until.filter(|_| !campaign.has_ended())),
        targets: view.targets.iter().map(target).collect(),
    }
}

fn encode_selector(selector: &Selector) -> proto::CampaignSelector {
    proto::CampaignSelector {
        all: selector.which == Which::All,
        overdue: selector.which == Which::Overdue,
        due_soon: selector.which == Which::DueSoon,
        access_ids: match &selector.which {
            Which::Named(ids) => ids.clone(),
            _ => Vec::new(),
        },
        labels: selector.labels.clone().into_iter().collect(),
        tenant_id: selector.tenant.clone().unwrap_or_default(),
    }
}

fn encode_plan(plan: &CampaignPlan) -> proto::CampaignPlan {
    proto::CampaignPlan {
        canary: number(plan.canary),
        soak: Some(duration(plan.soak)),
        growth: number(plan.growth),
        max_parallel: number(plan.max_parallel),
        failure_budget_percent: Some(number(plan.failure_budget)),
        catch_up: Some(duration(plan.catch_up)),
    }
}

fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default(),
    }
}

fn target(target: &CampaignTarget) -> proto::CampaignTarget {
    proto::CampaignTarget {
        access_id: target.access.to_string(),
        tenant_id: target.tenant.to_string(),
        account: target.account.clone(),
        hosts: target.hosts.clone(),
        wave: number(target.wave),
        state: match target.state {
            TargetState::Pending => proto::CampaignTargetState::Pending,
            TargetState::Running => proto::CampaignTargetState::Running,
            TargetState::Succeeded => proto::CampaignTargetState::Succeeded,
            TargetState::Failed => proto::CampaignTargetState::Failed,
            TargetState::CatchUp => proto::CampaignTargetState::CatchUp,
            TargetState::Skipped => proto::CampaignTargetState::Skipped,
            TargetState::Cancelled => proto::CampaignTargetState::Cancelled,
        }
        .into(),
        rotation_id: target.rotation.as_ref().map(RotationId::to_string).unwrap_or_default(),
        reason: target.reason.clone(),
        message: target.message.clone(),
        next_rotation_at: optional(target.due_at),
    }
}
