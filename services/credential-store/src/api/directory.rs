//! The directory over gRPC, for Keywright's own services.

use super::{credential, server};
use crate::app::directory::management::SetManagementKey;
use crate::app::directory::read::ReadDirectory;
use crate::app::directory::record_test::{RecordTestResult, TestResult};
use crate::app::directory::reference::{Held, HoldReferences};
use keywright_proto::credential as proto;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Directory {
    pub read: ReadDirectory,
    pub management: SetManagementKey,
    pub references: HoldReferences,
    pub record: RecordTestResult,
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

    async fn forget_management_key(
        &self,
        _: Request<proto::ForgetManagementKeyRequest>,
    ) -> Result<Response<proto::ForgetManagementKeyResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_directory_servers(
        &self,
        _: Request<proto::ListDirectoryServersRequest>,
    ) -> Result<Response<proto::ListDirectoryServersResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_directory_tenants(
        &self,
        _: Request<proto::ListDirectoryTenantsRequest>,
    ) -> Result<Response<proto::ListDirectoryTenantsResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn close_tenant(
        &self,
        _: Request<proto::CloseTenantRequest>,
    ) -> Result<Response<proto::CloseTenantResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}
