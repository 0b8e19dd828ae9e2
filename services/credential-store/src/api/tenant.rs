//! Tenants over gRPC.

use crate::app::tenants::create::{CreateTenant, NewTenant};
use crate::app::tenants::read::ReadTenants;
use crate::store::tenant::Tenant;
use keywright_proto::credential as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::idempotency::Idempotency;
use tonic::{Request, Response, Status};

pub struct Tenants {
    pub create: CreateTenant,
    pub read: ReadTenants,
    pub idempotency: Idempotency,
}

#[tonic::async_trait]
impl proto::tenant_service_server::TenantService for Tenants {
    async fn create_tenant(
        &self,
        request: Request<proto::CreateTenantRequest>,
    ) -> Result<Response<proto::CreateTenantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let scope = self.idempotency.scope(&caller, "CreateTenant", &request.idempotency_key, &request)?;
        let new =
            NewTenant { name: request.name, external_id: request.external_id, time_zone: request.time_zone };
        let answer = |tenant| proto::CreateTenantResponse { tenant: Some(encode(tenant)) };
        Ok(Response::new(self.create.run(&caller, new, scope, answer).await?))
    }

    async fn list_tenants(
        &self,
        request: Request<proto::ListTenantsRequest>,
    ) -> Result<Response<proto::ListTenantsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (rows, next_page_token) =
            self.read.list(&caller, &request.search, request.page_size, &request.page_token).await?;
        let items = rows.into_iter().map(encode).collect();
        Ok(Response::new(proto::ListTenantsResponse { items, next_page_token }))
    }

    async fn get_tenant(
        &self,
        request: Request<proto::GetTenantRequest>,
    ) -> Result<Response<proto::GetTenantResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = self.read.get(&caller, &request.into_inner().tenant_id).await?;
        Ok(Response::new(proto::GetTenantResponse { tenant: Some(encode(tenant)) }))
    }
}

fn encode(tenant: Tenant) -> proto::Tenant {
    proto::Tenant {
        id: tenant.id.to_string(),
        external_id: tenant.external_id.unwrap_or_default(),
        name: tenant.name,
        time_zone: tenant.time_zone,
        state: proto::TenantState::Active.into(),
        created_at: Some(timestamp(tenant.created_at)),
    }
}
