//! What an operator looks at first.

use super::access::{access, due, status};
use super::{number, optional};
use crate::adapters::directory::TenantState;
use crate::app::overview::{Overview, TenantView, Wanted};
use crate::app::view::{Due, Status as AccessStatus};
use crate::model::{Exposed, ExposureKind};
use keywright_domain::clock::Instant;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::overview_service_server::OverviewService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Overviews {
    pub overview: Overview,
}

#[tonic::async_trait]
impl OverviewService for Overviews {
    async fn list_tenant_overviews(
        &self,
        request: Request<proto::ListTenantOverviewsRequest>,
    ) -> Result<Response<proto::ListTenantOverviewsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let wanted = Wanted {
            status: wanted_status(asked.status()),
            due: wanted_due(asked.due()),
            search: asked.search,
            size: asked.page_size,
            token: asked.page_token,
        };
        let (views, next_page_token) = self.overview.tenants(&caller, wanted).await?;
        let items = views.iter().map(tenant).collect();
        Ok(Response::new(proto::ListTenantOverviewsResponse { items, next_page_token }))
    }

    async fn get_tenant_overview(
        &self,
        request: Request<proto::GetTenantOverviewRequest>,
    ) -> Result<Response<proto::GetTenantOverviewResponse>, Status> {
        let detail = self.overview.tenant(&caller(&request)?, &request.get_ref().tenant_id).await?;
        let detail = proto::TenantOverviewDetail {
            overview: Some(tenant(&detail.view)),
            accesses: detail.accesses.iter().map(access).collect(),
            exposures: detail.exposures.iter().map(|it| exposure(it, detail.now)).collect(),
        };
        Ok(Response::new(proto::GetTenantOverviewResponse { detail: Some(detail) }))
    }

    async fn list_exposures(
        &self,
        request: Request<proto::ListExposuresRequest>,
    ) -> Result<Response<proto::ListExposuresResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let (rows, next_page_token, now) =
            self.overview.exposures(&caller, &asked.tenant_id, asked.page_size, &asked.page_token).await?;
        let items = rows.iter().map(|row| exposure(row, now)).collect();
        Ok(Response::new(proto::ListExposuresResponse { items, next_page_token }))
    }
}

fn tenant(view: &TenantView) -> proto::TenantOverview {
    let tenant = &view.tenant;
    proto::TenantOverview {
        tenant_id: tenant.id.to_string(),
        external_id: tenant.external_id.clone(),
        name: tenant.name.clone(),
        state: match tenant.state {
            TenantState::Active => "ACTIVE",
            TenantState::Suspended => "SUSPENDED",
            TenantState::Deleted => "DELETED",
        }
        .to_owned(),
        access_count: number(view.accesses),
        status: view.status.map_or(proto::AccessStatus::Unspecified, status).into(),
        due: view.due.map_or(proto::Due::Unspecified, due).into(),
        last_rotated_at: optional(view.last_rotated_at),
        next_rotation_at: optional(view.next_rotation_at),
        exposed_hosts: number(view.exposed),
        frozen: view.frozen,
    }
}

fn exposure(exposed: &Exposed, now: Instant) -> proto::Exposure {
    proto::Exposure {
        kind: match exposed.kind {
            ExposureKind::Revoked => proto::ExposureKind::Revoked,
            ExposureKind::Compromised => proto::ExposureKind::Compromised,
            ExposureKind::GraceEnded => proto::ExposureKind::GraceEnded,
        }
        .into(),
        tenant_id: exposed.tenant.to_string(),
        access_id: exposed.access.to_string(),
        account: exposed.account.clone(),
        server_id: exposed.server.to_string(),
        server_name: exposed.server_name.clone(),
        work_id: exposed.work.clone(),
        since: Some(timestamp(exposed.since)),
        exposed_minutes: exposed.minutes(now),
        reason: exposed.reason.clone(),
        attempts: number(exposed.attempts),
    }
}

const fn wanted_status(status: proto::AccessStatus) -> Option<AccessStatus> {
    match status {
        proto::AccessStatus::Unspecified => None,
        proto::AccessStatus::Active => Some(AccessStatus::Active),
        proto::AccessStatus::Expired => Some(AccessStatus::Expired),
        proto::AccessStatus::Revoked => Some(AccessStatus::Revoked),
    }
}

const fn wanted_due(due: proto::Due) -> Option<Due> {
    match due {
        proto::Due::Unspecified => None,
        proto::Due::NotDue => Some(Due::No),
        proto::Due::DueSoon => Some(Due::Soon),
        proto::Due::Overdue => Some(Due::Overdue),
    }
}
