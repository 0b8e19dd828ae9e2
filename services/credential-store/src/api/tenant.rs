//! Tenants over gRPC.

use crate::app::tenants::create::{CreateTenant, NewTenant};
use crate::app::tenants::delete::DeleteTenant;
use crate::app::tenants::read::ReadTenants;
use crate::app::tenants::suspend::SuspendTenant;
use crate::app::tenants::update::{Change, UpdateTenant};
use crate::domain::tenant::{State, Tenant};
use keywright_proto::credential as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::idempotency::{Idempotency, once};
use tonic::{Request, Response, Status};

pub struct Tenants {
    pub create: CreateTenant,
    pub read: ReadTenants,
    pub update: UpdateTenant,
    pub suspend: SuspendTenant,
    pub delete: DeleteTenant,
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
        let new = NewTenant {
            name: request.name,
            external_id: request.external_id,
            time_zone: request.time_zone,
            contacts: request.contacts,
            labels: request.labels.into_iter().collect(),
        };
        let answer = |tenant| proto::CreateTenantResponse { tenant: Some(encode(tenant)) };
        let work = self.create.run(&caller, new, scope.clone(), answer);
        Ok(Response::new(once(&self.create.db, scope.as_ref(), work).await?))
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

    async fn update_tenant(
        &self,
        request: Request<proto::UpdateTenantRequest>,
    ) -> Result<Response<proto::UpdateTenantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let change = Change {
            tenant_id: request.tenant_id,
            name: request.name,
            external_id: request.external_id,
            time_zone: request.time_zone,
            contacts: request.contacts,
            clear_contacts: request.clear_contacts,
            labels: request.labels.into_iter().collect(),
            clear_labels: request.clear_labels,
            expected_revision: request.expected_revision,
        };
        let tenant = self.update.run(&caller, change).await?;
        Ok(Response::new(proto::UpdateTenantResponse { tenant: Some(encode(tenant)) }))
    }

    async fn suspend_tenant(
        &self,
        request: Request<proto::SuspendTenantRequest>,
    ) -> Result<Response<proto::SuspendTenantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let tenant = self.suspend.suspend(&caller, &request.tenant_id, &request.comment).await?;
        Ok(Response::new(proto::SuspendTenantResponse { tenant: Some(encode(tenant)) }))
    }

    async fn resume_tenant(
        &self,
        request: Request<proto::ResumeTenantRequest>,
    ) -> Result<Response<proto::ResumeTenantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let tenant = self.suspend.resume(&caller, &request.tenant_id, &request.comment).await?;
        Ok(Response::new(proto::ResumeTenantResponse { tenant: Some(encode(tenant)) }))
    }

    async fn delete_tenant(
        &self,
        request: Request<proto::DeleteTenantRequest>,
    ) -> Result<Response<proto::DeleteTenantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let confirmation = request.confirmation.unwrap_or_default();
        self.delete.run(&caller, &request.tenant_id, &confirmation.tenant_id).await?;
        Ok(Response::new(proto::DeleteTenantResponse {}))
    }
}

pub(super) fn encode(tenant: Tenant) -> proto::Tenant {
    let state = match tenant.state {
        State::Active => proto::TenantState::Active,
        State::Suspended => proto::TenantState::Suspended,
        State::Deleted => proto::TenantState::Deleted,
    };
    let said = tenant.particulars;
    proto::Tenant {
        id: tenant.id.to_string(),
        external_id: said.external_id.unwrap_or_default(),
        name: said.name,
        time_zone: said.time_zone,
        state: state.into(),
        created_at: Some(timestamp(tenant.created_at)),
        contacts: said.contacts,
        labels: said.labels.into_iter().collect(),
        revision: tenant.revision.to_string(),
    }
}
