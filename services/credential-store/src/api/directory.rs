//! The directory over gRPC, for Keywright's own services.

use super::{credential, server, tenant};
use crate::app::directory::close_tenant::CloseTenant;
use crate::app::directory::list::{ListDirectory, Servers, Tenants};
use crate::app::directory::management::{ForgetManagementKey, SetManagementKey};
use crate::app::directory::mismatch::ReportMismatch;
use crate::app::directory::read::ReadDirectory;
use crate::app::directory::record_test::{RecordTestResult, TestResult};
use crate::app::directory::reference::{Held, HoldReferences};
use crate::app::directory::route::ResolveRoute;
use crate::app::directory::targets::ResolveTargets;
use keywright_proto::credential as proto;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Directory {
    pub read: ReadDirectory,
    pub list: ListDirectory,
    pub management: SetManagementKey,
    pub forget: ForgetManagementKey,
    pub close: CloseTenant,
    pub references: HoldReferences,
    pub record: RecordTestResult,
    pub route: ResolveRoute,
    pub targets: ResolveTargets,
    pub mismatch: ReportMismatch,
}

#[tonic::async_trait]
impl proto::directory_service_server::DirectoryService for Directory {
    async fn resolve_server(
        &self,
        request: Request<proto::ResolveServerRequest>,
    ) -> Result<Response<proto::ResolveServerResponse>, Status> {
        let caller = caller(&request)?;
        let found = self.read.server(&caller, &request.into_inner().server_id).await?;
        Ok(Response::new(proto::ResolveServerResponse { server: Some(server::encode(found)) }))
    }

    async fn resolve_credential(
        &self,
        request: Request<proto::ResolveCredentialRequest>,
    ) -> Result<Response<proto::ResolveCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let found = self.read.credential(&caller, &request.into_inner().credential_id).await?;
        Ok(Response::new(proto::ResolveCredentialResponse { credential: Some(credential::encode(&found)) }))
    }

    async fn resolve_targets(
        &self,
        request: Request<proto::ResolveTargetsRequest>,
    ) -> Result<Response<proto::ResolveTargetsResponse>, Status> {
        let caller = caller(&request)?;
        let found = self.targets.run(&caller, &request.into_inner().server_ids).await?;
        let targets = found.into_iter().map(|(server, credential)| proto::DirectoryTarget {
            server: Some(server::encode(server)),
            credential: credential.as_ref().map(credential::encode),
        });
        Ok(Response::new(proto::ResolveTargetsResponse { targets: targets.collect() }))
    }

    async fn resolve_route(
        &self,
        request: Request<proto::ResolveRouteRequest>,
    ) -> Result<Response<proto::ResolveRouteResponse>, Status> {
        let caller = caller(&request)?;
        let route = self.route.run(&caller, &request.into_inner().jump_host_id).await?;
        let jump_hosts = route.into_iter().map(|(server, credential)| proto::JumpHost {
            server: Some(server::encode(server)),
            credential: Some(credential::encode(&credential)),
        });
        Ok(Response::new(proto::ResolveRouteResponse { jump_hosts: jump_hosts.collect() }))
    }

    async fn report_host_key_mismatch(
        &self,
        request: Request<proto::ReportHostKeyMismatchRequest>,
    ) -> Result<Response<proto::ReportHostKeyMismatchResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        self.mismatch.run(&caller, &request.server_id, &request.fingerprint).await?;
        Ok(Response::new(proto::ReportHostKeyMismatchResponse {}))
    }

    async fn set_management_key(
        &self,
        request: Request<proto::SetManagementKeyRequest>,
    ) -> Result<Response<proto::SetManagementKeyResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        self.management.run(&caller, &request.server_id, &request.credential_id, &request.username).await?;
        Ok(Response::new(proto::SetManagementKeyResponse {}))
    }

    async fn add_reference(
        &self,
        request: Request<proto::AddReferenceRequest>,
    ) -> Result<Response<proto::AddReferenceResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let held = Held {
            server_id: request.server_id,
            credential_id: request.credential_id,
            owner: request.owner,
            purpose: request.purpose,
        };
        self.references.add(&caller, held).await?;
        Ok(Response::new(proto::AddReferenceResponse {}))
    }

    async fn remove_reference(
        &self,
        request: Request<proto::RemoveReferenceRequest>,
    ) -> Result<Response<proto::RemoveReferenceResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let held = Held {
            server_id: request.server_id,
            credential_id: request.credential_id,
            owner: request.owner,
            purpose: request.purpose,
        };
        self.references.remove(&caller, held).await?;
        Ok(Response::new(proto::RemoveReferenceResponse {}))
    }

    async fn record_test_result(
        &self,
        request: Request<proto::RecordTestResultRequest>,
    ) -> Result<Response<proto::RecordTestResultResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let seen = TestResult {
            server_id: request.server_id,
            credential_id: request.credential_id,
            test_id: request.test_id,
            status: request.status,
            server_version: request.server_version,
        };
        self.record.run(&caller, seen).await?;
        Ok(Response::new(proto::RecordTestResultResponse {}))
    }

    async fn record_test_results(
        &self,
        request: Request<proto::RecordTestResultsRequest>,
    ) -> Result<Response<proto::RecordTestResultsResponse>, Status> {
        let caller = caller(&request)?;
        let seen = request.into_inner().results.into_iter().map(|result| TestResult {
            server_id: result.server_id,
            credential_id: result.credential_id,
            test_id: result.test_id,
            status: result.status,
            server_version: result.server_version,
        });
        self.record.run_all(&caller, seen.collect()).await?;
        Ok(Response::new(proto::RecordTestResultsResponse {}))
    }

    async fn forget_management_key(
        &self,
        request: Request<proto::ForgetManagementKeyRequest>,
    ) -> Result<Response<proto::ForgetManagementKeyResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        self.forget.run(&caller, &request.server_id, &request.credential_id).await?;
        Ok(Response::new(proto::ForgetManagementKeyResponse {}))
    }

    async fn list_directory_servers(
        &self,
        request: Request<proto::ListDirectoryServersRequest>,
    ) -> Result<Response<proto::ListDirectoryServersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked = Servers {
            tenant_id: request.tenant_id,
            group: request.group,
            managed_only: request.managed_only,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let (servers, next_page_token) = self.list.servers(&caller, asked).await?;
        let items = servers.into_iter().map(server::encode).collect();
        Ok(Response::new(proto::ListDirectoryServersResponse { items, next_page_token }))
    }

    async fn list_directory_tenants(
        &self,
        request: Request<proto::ListDirectoryTenantsRequest>,
    ) -> Result<Response<proto::ListDirectoryTenantsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked = Tenants {
            tenant_ids: request.tenant_ids,
            search: request.search,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let (tenants, next_page_token) = self.list.tenants(&caller, asked).await?;
        let items = tenants.into_iter().map(tenant::encode).collect();
        Ok(Response::new(proto::ListDirectoryTenantsResponse { items, next_page_token }))
    }

    async fn close_tenant(
        &self,
        request: Request<proto::CloseTenantRequest>,
    ) -> Result<Response<proto::CloseTenantResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let closed = self.close.run(&caller, &request.tenant_id, request.delete).await?;
        Ok(Response::new(proto::CloseTenantResponse { tenant: Some(tenant::encode(closed)) }))
    }
}
