//! Tests of many servers, and what they have open.

use super::connectivity_test::{encode_status, wanted_status};
use crate::app::cancel_fleet_test::CancelFleetTest;
use crate::app::check_fleet_work::CheckFleetWork;
use crate::app::read_fleet_tests::{Among, FleetTestView, ReadFleetTests};
use crate::app::start_fleet_test::{StartFleetTest, Wanted};
use crate::fleet::latency::Latency;
use crate::fleet::{Selector, State, Target, TargetState};
use crate::report::Status;
use keywright_domain::ids::{FleetTestId, TenantId, TestId};
use keywright_proto::probe as proto;
use keywright_proto::probe::fleet_test_service_server::FleetTestService;
use keywright_proto::probe::fleet_work_service_server::FleetWorkService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use keywright_runtime::idempotency::{Idempotency, once};
use keywright_runtime::watch::{Snapshots, watch};
use tonic::{Request, Response};

pub struct FleetTests {
    pub start: StartFleetTest,
    pub read: ReadFleetTests,
    pub cancel: CancelFleetTest,
    pub idempotency: Idempotency,
}

impl FleetTests {
    async fn shown(&self, id: &FleetTestId) -> Result<Option<proto::FleetTest>, Failure> {
        Ok(Some(encode(&self.read.view(id).await?)))
    }
}

#[tonic::async_trait]
impl FleetTestService for FleetTests {
    async fn create_fleet_test(
        &self,
        request: Request<proto::CreateFleetTestRequest>,
    ) -> Result<Response<proto::CreateFleetTestResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let scope = self.idempotency.scope(&caller, "CreateFleetTest", &asked.idempotency_key, &asked);
        let claimed = scope.as_ref().ok().cloned().flatten();
        let (selector, plan) = (asked.selector.unwrap_or_default(), asked.plan.unwrap_or_default());
        let wanted = Wanted {
            tenant: selector.tenant_id,
            selector: Selector {
                group: selector.group,
                labels: selector.labels,
                server_ids: selector.server_ids,
            },
            max_parallel: plan.max_parallel,
            max_per_host: plan.max_per_host,
            max_per_network: plan.max_per_network,
            comment: asked.reason,
            scope,
        };
        let id = once(&self.start.db, claimed.as_ref(), self.start.run(&caller, wanted)).await?;
        Ok(Response::new(proto::CreateFleetTestResponse { test: self.shown(&id).await? }))
    }

    async fn list_fleet_tests(
        &self,
        request: Request<proto::ListFleetTestsRequest>,
    ) -> Result<Response<proto::ListFleetTestsResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let (views, next_page_token) =
            self.read.list(&caller, &asked.tenant_id, asked.page_size, &asked.page_token).await?;
        let items = views.iter().map(encode).collect();
        Ok(Response::new(proto::ListFleetTestsResponse { items, next_page_token }))
    }

    async fn get_fleet_test(
        &self,
        request: Request<proto::GetFleetTestRequest>,
    ) -> Result<Response<proto::GetFleetTestResponse>, tonic::Status> {
        let id = self.read.authorize(&caller(&request)?, &request.get_ref().fleet_test_id).await?;
        Ok(Response::new(proto::GetFleetTestResponse { test: self.shown(&id).await? }))
    }

    async fn list_fleet_test_targets(
        &self,
        request: Request<proto::ListFleetTestTargetsRequest>,
    ) -> Result<Response<proto::ListFleetTestTargetsResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let among = Among { state: wanted_state(asked.state()), status: wanted_status(asked.status()) };
        let (targets, next_page_token) = self
            .read
            .targets(&caller, &asked.fleet_test_id, among, asked.page_size, &asked.page_token)
            .await?;
        let items = targets.iter().map(encode_target).collect();
        Ok(Response::new(proto::ListFleetTestTargetsResponse { items, next_page_token }))
    }

    async fn cancel_fleet_test(
        &self,
        request: Request<proto::CancelFleetTestRequest>,
    ) -> Result<Response<proto::CancelFleetTestResponse>, tonic::Status> {
        let id = self.cancel.run(&caller(&request)?, &request.get_ref().fleet_test_id).await?;
        Ok(Response::new(proto::CancelFleetTestResponse { test: self.shown(&id).await? }))
    }

    type WatchFleetTestStream = Snapshots<proto::WatchFleetTestResponse>;

    async fn watch_fleet_test(
        &self,
        request: Request<proto::WatchFleetTestRequest>,
    ) -> Result<Response<Self::WatchFleetTestStream>, tonic::Status> {
        let id = self.read.authorize(&caller(&request)?, &request.get_ref().fleet_test_id).await?;
        let read = self.read.clone();
        let look = move || {
            let (read, id) = (read.clone(), id.clone());
            async move { read.view(&id).await }
        };
        let ended = |view: &FleetTestView| {
            view.test.state != State::Running && view.counts.of(TargetState::Running) == 0
        };
        let encode = |view: &FleetTestView| proto::WatchFleetTestResponse { test: Some(encode(view)) };
        Ok(Response::new(watch(look, ended, encode)))
    }
}

pub struct FleetWorks {
    pub check: CheckFleetWork,
}

#[tonic::async_trait]
impl FleetWorkService for FleetWorks {
    async fn check_fleet_work(
        &self,
        request: Request<proto::CheckFleetWorkRequest>,
    ) -> Result<Response<proto::CheckFleetWorkResponse>, tonic::Status> {
        let asked = request.get_ref();
        let open = self.check.run(&asked.work, &asked.server_id).await?;
        Ok(Response::new(proto::CheckFleetWorkResponse { open }))
    }
}

fn wanted_state(state: proto::FleetTestTargetState) -> Option<TargetState> {
    match state {
        proto::FleetTestTargetState::Unspecified => None,
        proto::FleetTestTargetState::Pending => Some(TargetState::Pending),
        proto::FleetTestTargetState::Running => Some(TargetState::Running),
        proto::FleetTestTargetState::Tested => Some(TargetState::Tested),
        proto::FleetTestTargetState::Skipped => Some(TargetState::Skipped),
        proto::FleetTestTargetState::Cancelled => Some(TargetState::Cancelled),
    }
}

fn encode(view: &FleetTestView) -> proto::FleetTest {
    let FleetTestView { test, counts } = view;
    let of = |state| number(counts.of(state));
    let ended = |status| number(counts.ended(status));
    let state = match test.state {
        State::Running => proto::FleetTestState::Running,
        State::Finished => proto::FleetTestState::Finished,
        State::Cancelled => proto::FleetTestState::Cancelled,
    };
    proto::FleetTest {
        id: test.id.to_string(),
        state: state.into(),
        selector: Some(proto::FleetTestSelector {
            tenant_id: test.tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
            group: test.selector.group.clone(),
            labels: test.selector.labels.clone(),
            server_ids: test.selector.server_ids.clone(),
        }),
        plan: Some(proto::FleetTestPlan {
            max_parallel: number(test.plan.max_parallel),
            max_per_host: number(test.plan.max_per_host),
            max_per_network: number(test.plan.max_per_network),
        }),
        comment: test.comment.clone(),
        created_by: test.created_by.clone(),
        created_at: Some(timestamp(test.created_at)),
        finished_at: test.finished_at.map(timestamp),
        target_count: number(counts.all()),
        pending: of(TargetState::Pending),
        running: of(TargetState::Running),
        healthy: ended(Status::Healthy),
        degraded: ended(Status::Degraded),
        unreachable: ended(Status::Unreachable),
        skipped: of(TargetState::Skipped),
        cancelled: of(TargetState::Cancelled),
        latencies: test.latencies.iter().map(encode_latency).collect(),
    }
}

fn encode_latency(latency: &Latency) -> proto::FleetTestLatency {
    proto::FleetTestLatency {
        check: latency.check.as_str().to_owned(),
        p50_ms: latency.p50,
        p90_ms: latency.p90,
        p99_ms: latency.p99,
        max_ms: latency.max,
    }
}

fn encode_target(target: &Target) -> proto::FleetTestTarget {
    let result = &target.result;
    let state = match target.state {
        TargetState::Pending => proto::FleetTestTargetState::Pending,
        TargetState::Running => proto::FleetTestTargetState::Running,
        TargetState::Tested => proto::FleetTestTargetState::Tested,
        TargetState::Skipped => proto::FleetTestTargetState::Skipped,
        TargetState::Cancelled => proto::FleetTestTargetState::Cancelled,
    };
    let status = match result.status {
        None => proto::ConnectivityStatus::Unspecified,
        Some(status) => encode_status(status),
    };
    proto::FleetTestTarget {
        server_id: target.server.to_string(),
        tenant_id: target.tenant.to_string(),
        server_name: target.name.clone(),
        host: target.host.clone(),
        port: i32::from(target.port),
        state: state.into(),
        status: status.into(),
        failed_check: result.failed_check.clone(),
        reason: result.reason.clone(),
        message: result.message.clone(),
        test_id: result.test.as_ref().map(TestId::to_string).unwrap_or_default(),
        started_at: target.started_at.map(timestamp),
        finished_at: target.finished_at.map(timestamp),
    }
}

fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
