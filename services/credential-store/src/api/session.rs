//! Who you are, and how you came in, over gRPC.

use crate::api::token::{encode, encode_kind, encode_role, text};
use crate::app::identity::redeem::Redeem;
use crate::store::token;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::secret::Secret;
use keywright_proto::identity as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use tonic::{Request, Response, Status};

pub struct Sessions {
    pub redeem: Redeem,
    pub db: Db,
}

#[tonic::async_trait]
impl proto::session_service_server::SessionService for Sessions {
    async fn who_am_i(
        &self,
        request: Request<proto::WhoAmIRequest>,
    ) -> Result<Response<proto::WhoAmIResponse>, Status> {
        let caller = caller(&request)?;
        let mut expires_at = None;
        if let Some(id) = &caller.principal.token {
            let row = token::get(&self.db, id).await.map_err(Failure::from)?;
            expires_at = row.map(|token| timestamp(token.expires_at));
        }
        let who = caller.principal;
        let principal = proto::Principal {
            id: who.id,
            kind: encode_kind(who.kind).into(),
            role: encode_role(who.role).into(),
            tenant_id: who.tenant.map(String::from).unwrap_or_default(),
            permissions: who.permissions,
            token_id: who.token.map(String::from).unwrap_or_default(),
            expires_at,
        };
        Ok(Response::new(proto::WhoAmIResponse { principal: Some(principal) }))
    }

    async fn redeem_invitation(
        &self,
        request: Request<proto::RedeemInvitationRequest>,
    ) -> Result<Response<proto::RedeemInvitationResponse>, Status> {
        let arrival =
            caller(&request).unwrap_or_else(|_| Caller::background(ServiceName::CredentialStore, ""));
        let request = request.into_inner();
        let code = Secret::from_text(request.code);
        let (token, secret) = self.redeem.run(&arrival, &code, &request.name).await?;
        Ok(Response::new(proto::RedeemInvitationResponse {
            id: token.id.to_string(),
            token: text(&secret),
            metadata: Some(encode(&token)),
        }))
    }
}
