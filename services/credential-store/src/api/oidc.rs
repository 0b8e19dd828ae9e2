//! Login through identity providers over gRPC.

use crate::adapters::oidc::config::Settings;
use crate::api::token::{encode, text};
use crate::app::identity::oidc::LoginWithOidc;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::secret::Secret;
use keywright_proto::identity as proto;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Logins {
    pub login: LoginWithOidc,
}

#[tonic::async_trait]
impl proto::oidc_service_server::OidcService for Logins {
    async fn list_login_methods(
        &self,
        _: Request<proto::ListLoginMethodsRequest>,
    ) -> Result<Response<proto::ListLoginMethodsResponse>, Status> {
        let providers = self.login.providers().map(provider).collect();
        Ok(Response::new(proto::ListLoginMethodsResponse { providers, invitations: true }))
    }

    async fn login_with_oidc(
        &self,
        request: Request<proto::LoginWithOidcRequest>,
    ) -> Result<Response<proto::LoginWithOidcResponse>, Status> {
        let arrival =
            caller(&request).unwrap_or_else(|_| Caller::background(ServiceName::CredentialStore, ""));
        let request = request.into_inner();
        let id_token = Secret::from_text(request.id_token);
        let (token, secret) = self.login.run(&arrival, &id_token, &request.nonce).await?;
        Ok(Response::new(proto::LoginWithOidcResponse {
            id: token.id.to_string(),
            token: text(&secret),
            metadata: Some(encode(&token)),
        }))
    }
}

fn provider(settings: &Settings) -> proto::OidcProvider {
    proto::OidcProvider {
        name: settings.name.clone(),
        issuer: settings.issuer.clone(),
        client_id: settings.client_id.clone(),
        scopes: settings.scopes.clone(),
    }
}
