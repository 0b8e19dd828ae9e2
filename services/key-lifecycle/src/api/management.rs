//! Management keys.

use super::optional;
use super::rotation::receipt;
use crate::adapters::bootstrap::Bootstrap;
use crate::app::manage_server::ManageServer;
use crate::app::release_server::{Asked, ReleaseServer};
use crate::app::rotate_management::{Rotate, RotateManagement};
use crate::app::view_management::{ManagementView, Predecessor, ViewManagement};
use crate::model::{Release, Staying};
use keywright_domain::clock::Instant;
use keywright_domain::secret::Secret;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::management_service_server::ManagementService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Management {
    pub manage: ManageServer,
    pub rotate: RotateManagement,
    pub view: ViewManagement,
    pub release: ReleaseServer,
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
        let view = self.view.of(&managed).await?;
        Ok(Response::new(proto::ManageServerResponse { management: Some(management(&view)) }))
    }

    async fn get_server_management(
        &self,
        request: Request<proto::GetServerManagementRequest>,
    ) -> Result<Response<proto::GetServerManagementResponse>, Status> {
        let caller = caller(&request)?;
        let view = self.view.run(&caller, &request.into_inner().server_id).await?;
        Ok(Response::new(proto::GetServerManagementResponse { management: Some(management(&view)) }))
    }

    async fn rotate_management_key(
        &self,
        request: Request<proto::RotateManagementKeyRequest>,
    ) -> Result<Response<proto::RotateManagementKeyResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let rotate = Rotate {
            server: asked.server_id,
            confirmation: asked.confirmation.map(|typed| typed.server_id),
            comment: asked.reason,
        };
        let view = self.rotate.run(&caller, rotate).await?;
        Ok(Response::new(proto::RotateManagementKeyResponse { management: Some(management(&view)) }))
    }

    async fn release_server(
        &self,
        request: Request<proto::ReleaseServerRequest>,
    ) -> Result<Response<proto::ReleaseServerResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let asked = Asked {
            server: asked.server_id,
            confirmation: asked.confirmation.map(|typed| typed.server_id),
            leave_management_key: asked.leave_management_key,
            comment: asked.reason,
        };
        let released = self.release.run(&caller, asked).await?;
        Ok(Response::new(proto::ReleaseServerResponse { release: Some(release(&released)) }))
    }
}

fn management(view: &ManagementView) -> proto::ServerManagement {
    let key = &view.current;
    proto::ServerManagement {
        server_id: key.server.to_string(),
        management_key_id: key.credential.to_string(),
        username: key.username.clone(),
        fingerprint: fingerprint(key),
        receipt: key.receipt.as_ref().map(receipt),
        server_version: key.receipt.as_ref().map(|seen| seen.server_version.clone()).unwrap_or_default(),
        installed_at: optional(key.finished_at),
        predecessors: view.predecessors.iter().map(predecessor).collect(),
    }
}

fn release(released: &Release) -> proto::ServerRelease {
    proto::ServerRelease {
        server_id: released.server.to_string(),
        released_at: optional(released.finished_at),
        staying: released.staying.iter().map(staying).collect(),
        management_key_removed: released.refused.is_some(),
        other_path: released.other_path.as_ref().map(receipt),
        refused: released.refused.as_ref().map(receipt),
    }
}

fn staying(key: &Staying) -> proto::StayingKey {
    proto::StayingKey {
        account: key.account.clone(),
        access_id: key.access.clone(),
        version: super::number(key.version),
        fingerprint: key.fingerprint.clone(),
        ends_at: optional(key.ends_at_micros.map(Instant::from_micros)),
    }
}

fn predecessor(former: &Predecessor) -> proto::RetiredManagementKey {
    proto::RetiredManagementKey {
        fingerprint: fingerprint(&former.key),
        replaced_at: Some(timestamp(former.replaced_at)),
        removed_at: optional(former.key.removed_at),
        stays_for: former.stays_for.clone(),
    }
}

fn fingerprint(key: &crate::model::Management) -> String {
    key.public_key.as_ref().map(|key| key.fingerprint().to_string()).unwrap_or_default()
}
