//! Tokens over gRPC.

use crate::app::identity::create_token::{CreateToken, NewToken};
use crate::app::identity::tokens::Tokens as UseTokens;
use crate::store::token::Token;
use keywright_domain::caller::{PrincipalKind, Role};
use keywright_domain::secret::Secret;
use keywright_proto::identity as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use std::time::Duration;
use tonic::{Request, Response, Status};

pub struct Tokens {
    pub create: CreateToken,
    pub tokens: UseTokens,
}

#[tonic::async_trait]
impl proto::token_service_server::TokenService for Tokens {
    async fn create_token(
        &self,
        request: Request<proto::CreateTokenRequest>,
    ) -> Result<Response<proto::CreateTokenResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = NewToken {
            role: decode_role(request.role()),
            tenant: request.tenant_id,
            permissions: request.permissions,
            expires_in: request.expires_in.map(span).transpose()?,
            name: request.name,
            client_certificate: request.client_certificate,
        };
        let (token, secret) = self.create.run(&caller, new).await?;
        let metadata = Some(encode(&token));
        Ok(Response::new(proto::CreateTokenResponse {
            id: token.id.to_string(),
            token: text(&secret),
            metadata,
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<proto::ListTokensRequest>,
    ) -> Result<Response<proto::ListTokensResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (rows, next_page_token) =
            self.tokens.list(&caller, &request.tenant_id, request.page_size, &request.page_token).await?;
        let items = rows.iter().map(encode).collect();
        Ok(Response::new(proto::ListTokensResponse { items, next_page_token }))
    }

    async fn delete_token(
        &self,
        request: Request<proto::DeleteTokenRequest>,
    ) -> Result<Response<proto::DeleteTokenResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let token = self.tokens.revoke(&caller, &request.token_id, request.keep_created).await?;
        Ok(Response::new(proto::DeleteTokenResponse { token: Some(encode(&token)) }))
    }
}

fn span(duration: prost_types::Duration) -> Result<Duration, Failure> {
    Duration::try_from(duration).map_err(|_| Failure::violation("expiresIn", "must not be negative"))
}

/// The answer is the one place where the secret is meant to be seen.
pub fn text(secret: &Secret) -> String {
    secret.expose_text().unwrap_or_default().to_owned()
}

pub fn decode_role(role: proto::Role) -> Option<Role> {
    Some(match role {
        proto::Role::Unspecified => return None,
        proto::Role::TenantOwner => Role::TenantOwner,
        proto::Role::TenantAdmin => Role::TenantAdmin,
        proto::Role::TenantMember => Role::TenantMember,
        proto::Role::Operator => Role::Operator,
        proto::Role::Auditor => Role::Auditor,
        proto::Role::InternalService => Role::InternalService,
    })
}

pub fn encode_role(role: Role) -> proto::Role {
    match role {
        Role::TenantOwner => proto::Role::TenantOwner,
        Role::TenantAdmin => proto::Role::TenantAdmin,
        Role::TenantMember => proto::Role::TenantMember,
        Role::Operator => proto::Role::Operator,
        Role::Auditor => proto::Role::Auditor,
        Role::InternalService => proto::Role::InternalService,
        Role::Keywright => proto::Role::Unspecified,
    }
}

pub fn encode_kind(kind: PrincipalKind) -> proto::PrincipalKind {
    match kind {
        PrincipalKind::User => proto::PrincipalKind::User,
        PrincipalKind::Service => proto::PrincipalKind::Service,
        PrincipalKind::System => proto::PrincipalKind::System,
    }
}

pub fn encode(token: &Token) -> proto::Token {
    proto::Token {
        id: token.id.to_string(),
        name: token.name.clone(),
        principal_id: token.principal.to_string(),
        role: encode_role(token.role).into(),
        tenant_id: token.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
        permissions: token.permissions.clone(),
        created_at: Some(timestamp(token.created_at)),
        expires_at: Some(timestamp(token.expires_at)),
        revoked_at: token.revoked_at.map(timestamp),
        last_used_at: token.last_used_at.map(timestamp),
        created_by: token.created_by.clone(),
        parent_id: token.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        client_certificate: token.client_certificate.clone().unwrap_or_default(),
    }
}
