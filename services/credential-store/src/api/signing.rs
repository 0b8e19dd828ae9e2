//! Signed logins over gRPC.

use crate::app::custody::sign_login::{ListSigningKeys, Login, SignLogin};
use crate::domain::signing::{SigningKey, SigningServer};
use keywright_domain::key::PublicKey;
use keywright_proto::credential as proto;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Signing {
    pub sign: SignLogin,
    pub list: ListSigningKeys,
}

#[tonic::async_trait]
impl proto::signing_service_server::SigningService for Signing {
    async fn list_signing_keys(
        &self,
        request: Request<proto::ListSigningKeysRequest>,
    ) -> Result<Response<proto::ListSigningKeysResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (keys, next_page_token) =
            self.list.run(&caller, &request.tenant_id, request.page_size, &request.page_token).await?;
        let items = keys.into_iter().map(encode).collect();
        Ok(Response::new(proto::ListSigningKeysResponse { items, next_page_token }))
    }

    async fn sign_login(
        &self,
        request: Request<proto::SignLoginRequest>,
    ) -> Result<Response<proto::SignLoginResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let login = Login {
            credential_id: request.credential_id,
            server_id: request.server_id,
            session_id: request.session_id,
            username: request.username,
            algorithm: request.algorithm,
            host_key: request.host_key,
            host_signature: request.host_signature,
            host_bound: request.host_bound,
        };
        let signature = self.sign.run(&caller, login).await?;
        Ok(Response::new(proto::SignLoginResponse { signature }))
    }
}

fn encode(key: SigningKey) -> proto::SigningKey {
    proto::SigningKey {
        public_key: key.credential.current.map(|version| version.public.openssh()).unwrap_or_default(),
        credential_id: key.credential.id.into(),
        name: key.credential.name,
        servers: key.servers.into_iter().map(encode_server).collect(),
    }
}

fn encode_server(server: SigningServer) -> proto::SigningServer {
    proto::SigningServer {
        server_id: server.server.into(),
        name: server.name,
        username: server.username,
        host_keys: server.host_keys.iter().map(PublicKey::openssh).collect(),
    }
}
