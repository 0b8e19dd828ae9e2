//! Members over gRPC.

use crate::api::token::{encode_kind, encode_role};
use crate::app::identity::members::Members as UseMembers;
use crate::store::member::Member;
use keywright_proto::identity as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Members {
    pub members: UseMembers,
}

#[tonic::async_trait]
impl proto::member_service_server::MemberService for Members {
    async fn list_members(
        &self,
        request: Request<proto::ListMembersRequest>,
    ) -> Result<Response<proto::ListMembersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (rows, next_page_token) =
            self.members.list(&caller, &request.tenant_id, request.page_size, &request.page_token).await?;
        let items = rows.iter().map(encode).collect();
        Ok(Response::new(proto::ListMembersResponse { items, next_page_token }))
    }

    async fn remove_member(
        &self,
        request: Request<proto::RemoveMemberRequest>,
    ) -> Result<Response<proto::RemoveMemberResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let member = self.members.remove(&caller, &request.tenant_id, &request.principal_id).await?;
        Ok(Response::new(proto::RemoveMemberResponse { member: Some(encode(&member)) }))
    }
}

fn encode(member: &Member) -> proto::Member {
    proto::Member {
        principal_id: member.principal.to_string(),
        name: member.name.clone(),
        kind: encode_kind(member.kind).into(),
        role: encode_role(member.role).into(),
        source: member.source.clone(),
        created_at: Some(timestamp(member.created_at)),
        last_used_at: member.last_used_at.map(timestamp),
        removed_at: member.removed_at.map(timestamp),
    }
}
