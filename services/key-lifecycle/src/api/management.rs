//! Management keys.

use super::rotation::receipt;
use crate::adapters::bootstrap::Bootstrap;
use crate::app::manage_server::{ManageServer, Managed};
use keywright_domain::secret::Secret;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::management_service_server::ManagementService;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Management {
    pub manage: ManageServer,
}

#[tonic::async_trait]
impl ManagementService for Management {
    async fn manage_server(
        &self,
        request: Request<proto::ManageServerRequest>,
    ) -> Result<Response<proto::ManageServerResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let bootstrap = asked.bootstrap_credential.unwrap_or_default();
        let bootstrap = Bootstrap {
            credential: bootstrap.credential_id,
            private_key: Secret::from_text(bootstrap.private_key),
            passphrase: Secret::from_text(bootstrap.passphrase),
            username: bootstrap.username,
        };
        let managed = self.manage.run(&caller, &asked.server_id, bootstrap).await?;
        Ok(Response::new(proto::ManageServerResponse { management: Some(management(&managed)) }))
    }

    async fn get_server_management(
        &self,
        _: Request<proto::GetServerManagementRequest>,
    ) -> Result<Response<proto::GetServerManagementResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn rotate_management_key(
        &self,
        _: Request<proto::RotateManagementKeyRequest>,
    ) -> Result<Response<proto::RotateManagementKeyResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn release_server(
        &self,
        _: Request<proto::ReleaseServerRequest>,
    ) -> Result<Response<proto::ReleaseServerResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}

fn management(managed: &Managed) -> proto::ServerManagement {
    proto::ServerManagement {
        server_id: managed.server.to_string(),
        management_key_id: managed.credential.to_string(),
        username: managed.username.clone(),
        fingerprint: managed.fingerprint.clone(),
        receipt: Some(receipt(&managed.receipt)),
        server_version: managed.receipt.server_version.clone(),
        installed_at: None,
        predecessors: Vec::new(),
    }
}
