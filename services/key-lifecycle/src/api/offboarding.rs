//! The end of a tenant.

use super::optional;
use crate::app::offboard_tenant::OffboardTenant;
use crate::model::{Offboarding, OffboardingState};
use keywright_proto::google::api::HttpBody;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::offboarding_service_server::OffboardingService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl OffboardingService for OffboardTenant {
    async fn offboard_tenant(
        &self,
        request: Request<proto::OffboardTenantRequest>,
    ) -> Result<Response<proto::OffboardTenantResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let typed = asked.confirmation.map(|typed| typed.tenant_id);
        let begun = self.run(&caller, &asked.tenant_id, typed.as_deref(), &asked.reason).await?;
        Ok(Response::new(proto::OffboardTenantResponse { offboarding: Some(offboarding(begun)) }))
    }

    async fn get_offboarding(
        &self,
        request: Request<proto::GetOffboardingRequest>,
    ) -> Result<Response<proto::GetOffboardingResponse>, Status> {
        let caller = caller(&request)?;
        let found = self.get(&caller, &request.into_inner().tenant_id).await?;
        Ok(Response::new(proto::GetOffboardingResponse { offboarding: Some(offboarding(found)) }))
    }

    async fn get_offboarding_export(
        &self,
        request: Request<proto::GetOffboardingExportRequest>,
    ) -> Result<Response<proto::GetOffboardingExportResponse>, Status> {
        let caller = caller(&request)?;
        let text = self.export(&caller, &request.into_inner().tenant_id).await?;
        let file = HttpBody {
            content_type: "application/json".to_owned(),
            data: text.into_bytes(),
            ..Default::default()
        };
        Ok(Response::new(proto::GetOffboardingExportResponse { file: Some(file) }))
    }
}

fn offboarding(found: Offboarding) -> proto::Offboarding {
    let state = match found.state {
        OffboardingState::Running => proto::OffboardingState::Running,
        OffboardingState::Succeeded => proto::OffboardingState::Succeeded,
    };
    proto::Offboarding {
        tenant_id: found.tenant.to_string(),
        state: state.into(),
        requested_at: Some(timestamp(found.requested_at)),
        finished_at: optional(found.finished_at),
        accesses: super::number(found.accesses),
        outstanding_hosts: super::number(found.outstanding),
        waits_for: found.waits_for,
        export_ready: found.exported_at.is_some(),
    }
}
