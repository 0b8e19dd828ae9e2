//! Invitations over gRPC.

use crate::api::token::{decode_role, encode_role, text};
use crate::app::identity::invitations::Invitations as UseInvitations;
use crate::app::identity::invite::Invite;
use crate::store::invitation::Invitation;
use keywright_proto::identity as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Invitations {
    pub invite: Invite,
    pub invitations: UseInvitations,
}

#[tonic::async_trait]
impl proto::invitation_service_server::InvitationService for Invitations {
    async fn create_invitation(
        &self,
        request: Request<proto::CreateInvitationRequest>,
    ) -> Result<Response<proto::CreateInvitationResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let role = decode_role(request.role());
        let (invitation, code) = self.invite.run(&caller, &request.tenant_id, role, &request.email).await?;
        Ok(Response::new(proto::CreateInvitationResponse {
            id: invitation.id.to_string(),
            code: text(&code),
            expires_at: Some(timestamp(invitation.expires_at)),
        }))
    }

    async fn list_invitations(
        &self,
        request: Request<proto::ListInvitationsRequest>,
    ) -> Result<Response<proto::ListInvitationsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (rows, next_page_token) = self
            .invitations
            .list(&caller, &request.tenant_id, request.page_size, &request.page_token)
            .await?;
        let items = rows.iter().map(encode).collect();
        Ok(Response::new(proto::ListInvitationsResponse { items, next_page_token }))
    }

    async fn delete_invitation(
        &self,
        request: Request<proto::DeleteInvitationRequest>,
    ) -> Result<Response<proto::DeleteInvitationResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        self.invitations.withdraw(&caller, &request.tenant_id, &request.invitation_id).await?;
        Ok(Response::new(proto::DeleteInvitationResponse {}))
    }
}

fn encode(invitation: &Invitation) -> proto::Invitation {
    proto::Invitation {
        id: invitation.id.to_string(),
        tenant_id: invitation.tenant.to_string(),
        role: encode_role(invitation.role).into(),
        email: invitation.email.clone(),
        created_by: invitation.created_by.clone(),
        created_at: Some(timestamp(invitation.created_at)),
        expires_at: Some(timestamp(invitation.expires_at)),
        redeemed_at: invitation.redeemed_at.map(timestamp),
    }
}
