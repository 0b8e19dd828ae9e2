//! Invitations over gRPC.

use crate::api::token::{decode_role, text};
use crate::app::identity::invite::Invite;
use keywright_proto::identity as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Invitations {
    pub invite: Invite,
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
}
