//! Servers over gRPC.

use crate::app::listing::Listing;
use crate::app::servers::bind::{BindCredential, NewBinding};
use crate::app::servers::deactivate::DeactivateServer;
use crate::app::servers::delete::DeleteServer;
use crate::app::servers::host_keys::{Change, Named, UpdateHostKeys};
use crate::app::servers::jump_host::SetJumpHost;
use crate::app::servers::read::ReadServers;
use crate::app::servers::register::{NewServer, RegisterServer};
use crate::app::servers::rename::RenameServer;
use crate::app::servers::unbind::UnbindCredential;
use crate::domain::server::{HostKey, Lifecycle, Server};
use keywright_proto::credential as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::idempotency::{Idempotency, once};
use tonic::{Request, Response, Status};

pub struct Servers {
    pub register: RegisterServer,
    pub read: ReadServers,
    pub rename: RenameServer,
    pub deactivate: DeactivateServer,
    pub delete: DeleteServer,
    pub bind: BindCredential,
    pub unbind: UnbindCredential,
    pub jump_host: SetJumpHost,
    pub host_keys: UpdateHostKeys,
    pub idempotency: Idempotency,
}

#[tonic::async_trait]
impl proto::server_service_server::ServerService for Servers {
    async fn register_server(
        &self,
        request: Request<proto::RegisterServerRequest>,
    ) -> Result<Response<proto::RegisterServerResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let scope = self.idempotency.scope(&caller, "RegisterServer", &request.idempotency_key, &request)?;
        let new = NewServer {
            tenant_id: request.tenant_id,
            name: request.name,
            host: request.host,
            port: request.port,
            group: request.group,
            labels: request.labels.into_iter().collect(),
            host_keys: request.host_keys,
            known_hosts: request.known_hosts,
            accept_new: request.accept_new,
            jump_host_id: request.jump_host_id,
        };
        let answer = |server: &Server| proto::RegisterServerResponse { server: Some(encode(server.clone())) };
        let work = self.register.run(&caller, new, scope.clone(), answer);
        Ok(Response::new(once(&self.register.db, scope.as_ref(), work).await?))
    }

    async fn list_servers(
        &self,
        request: Request<proto::ListServersRequest>,
    ) -> Result<Response<proto::ListServersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let listing = Listing {
            tenant_id: request.tenant_id,
            search: request.search,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let (servers, next_page_token) = self.read.list(&caller, listing).await?;
        let items = servers.into_iter().map(encode).collect();
        Ok(Response::new(proto::ListServersResponse { items, next_page_token }))
    }

    async fn get_server(
        &self,
        request: Request<proto::GetServerRequest>,
    ) -> Result<Response<proto::GetServerResponse>, Status> {
        let caller = caller(&request)?;
        let server = self.read.get(&caller, &request.into_inner().server_id).await?;
        Ok(Response::new(proto::GetServerResponse { server: Some(encode(server)) }))
    }

    async fn rename_server(
        &self,
        request: Request<proto::RenameServerRequest>,
    ) -> Result<Response<proto::RenameServerResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let server = self.rename.run(&caller, &request.server_id, &request.name).await?;
        Ok(Response::new(proto::RenameServerResponse { server: Some(encode(server)) }))
    }

    async fn deactivate_server(
        &self,
        request: Request<proto::DeactivateServerRequest>,
    ) -> Result<Response<proto::DeactivateServerResponse>, Status> {
        let caller = caller(&request)?;
        let server = self.deactivate.run(&caller, &request.into_inner().server_id).await?;
        Ok(Response::new(proto::DeactivateServerResponse { server: Some(encode(server)) }))
    }

    async fn check_server_deletion(
        &self,
        request: Request<proto::CheckServerDeletionRequest>,
    ) -> Result<Response<proto::CheckServerDeletionResponse>, Status> {
        let caller = caller(&request)?;
        let blockers = self.read.deletion_blockers(&caller, &request.into_inner().server_id).await?;
        Ok(Response::new(proto::CheckServerDeletionResponse { deletable: blockers.is_empty(), blockers }))
    }

    async fn delete_server(
        &self,
        request: Request<proto::DeleteServerRequest>,
    ) -> Result<Response<proto::DeleteServerResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let confirmation = request.confirmation.unwrap_or_default().server_id;
        self.delete.run(&caller, &request.server_id, &confirmation).await?;
        Ok(Response::new(proto::DeleteServerResponse {}))
    }

    async fn bind_credential(
        &self,
        request: Request<proto::BindCredentialRequest>,
    ) -> Result<Response<proto::BindCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = NewBinding {
            server_id: request.server_id,
            credential_id: request.credential_id,
            username: request.username,
            skip_test: request.skip_test,
        };
        let bound = self.bind.run(&caller, new).await?;
        Ok(Response::new(proto::BindCredentialResponse {
            server: Some(encode(bound.server)),
            connectivity_test_id: bound.test,
        }))
    }

    async fn unbind_credential(
        &self,
        request: Request<proto::UnbindCredentialRequest>,
    ) -> Result<Response<proto::UnbindCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let server = self.unbind.run(&caller, &request.into_inner().server_id).await?;
        Ok(Response::new(proto::UnbindCredentialResponse { server: Some(encode(server)) }))
    }

    async fn set_jump_host(
        &self,
        request: Request<proto::SetJumpHostRequest>,
    ) -> Result<Response<proto::SetJumpHostResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let server = self.jump_host.run(&caller, &request.server_id, &request.jump_host_id).await?;
        Ok(Response::new(proto::SetJumpHostResponse { server: Some(encode(server)) }))
    }

    async fn list_host_keys(
        &self,
        request: Request<proto::ListHostKeysRequest>,
    ) -> Result<Response<proto::ListHostKeysResponse>, Status> {
        let caller = caller(&request)?;
        let server = self.read.get(&caller, &request.into_inner().server_id).await?;
        let items = server.host_keys.into_iter().map(encode_host_key).collect();
        Ok(Response::new(proto::ListHostKeysResponse { items }))
    }

    async fn update_host_keys(
        &self,
        request: Request<proto::UpdateHostKeysRequest>,
    ) -> Result<Response<proto::UpdateHostKeysResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let change = match request.action() {
            proto::HostKeyAction::Approve => Some(Change::Approve),
            proto::HostKeyAction::Repin => Some(Change::Repin),
            proto::HostKeyAction::Remove => Some(Change::Remove),
            proto::HostKeyAction::TrustAuthority => Some(Change::TrustAuthority),
            proto::HostKeyAction::Unspecified => None,
        };
        let named = Named { fingerprints: &request.fingerprints, authorities: &request.authorities };
        let keys = self.host_keys.run(&caller, &request.server_id, change, named).await?;
        let items = keys.into_iter().map(encode_host_key).collect();
        Ok(Response::new(proto::UpdateHostKeysResponse { items }))
    }
}

pub(super) fn encode(server: Server) -> proto::Server {
    let (management_key_id, management_username) = server
        .management
        .map(|management| (management.credential.to_string(), management.username))
        .unwrap_or_default();
    proto::Server {
        id: server.id.to_string(),
        tenant_id: server.tenant.to_string(),
        name: server.name,
        host: server.host.to_string(),
        port: i32::from(server.port.get()),
        group: server.group,
        labels: server.labels.into_iter().collect(),
        lifecycle_status: match server.lifecycle {
            Lifecycle::Active => proto::ServerLifecycle::Active.into(),
            Lifecycle::Inactive => proto::ServerLifecycle::Inactive.into(),
        },
        host_keys: server.host_keys.into_iter().map(encode_host_key).collect(),
        credential: server.binding.map(|binding| proto::ServerCredential {
            credential_id: binding.credential.to_string(),
            username: binding.username,
            test_status: binding.test_status,
            last_test_id: binding.last_test.unwrap_or_default(),
        }),
        management_key_id,
        management_username,
        capabilities: server.capabilities.map(|seen| proto::ServerCapabilities {
            server_version: seen.server_version,
            seen_at: Some(timestamp(seen.seen_at)),
        }),
        created_at: Some(timestamp(server.created_at)),
        revision: server.revision.to_string(),
        jump_host_id: server.jump_host.map(|id| id.to_string()).unwrap_or_default(),
        host_key_mismatch: server.mismatch.map(|seen| proto::HostKeyMismatch {
            fingerprint: seen.presented.to_string(),
            seen_at: Some(timestamp(seen.seen_at)),
        }),
    }
}

fn encode_host_key(pin: HostKey) -> proto::HostKey {
    proto::HostKey {
        algorithm: pin.key.algorithm().to_string(),
        fingerprint: pin.key.fingerprint().to_string(),
        public_key: pin.key.openssh(),
        approved_at: Some(timestamp(pin.approved_at)),
        approved_by: pin.approved_by,
        certificate_authority: pin.authority,
    }
}
