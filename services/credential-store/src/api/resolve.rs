//! Keys for internal services over gRPC, on the internal port alone.

use crate::app::custody::resolve::{ResolveKey, Wanted};
use keywright_proto::credential as proto;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Resolving {
    pub resolve: ResolveKey,
}

#[tonic::async_trait]
impl proto::resolve_service_server::ResolveService for Resolving {
    async fn resolve(
        &self,
        request: Request<proto::ResolveRequest>,
    ) -> Result<Response<proto::ResolveResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = Wanted {
            credential_id: request.credential_id,
            purpose: request.purpose,
            server_id: request.server_id,
        };
        let resolved = self.resolve.run(&caller, wanted).await?;
        Ok(Response::new(proto::ResolveResponse {
            private_key: resolved.key.expose().to_vec(),
            username: resolved.username,
            public_key: resolved.version.public.openssh(),
            version: resolved.version.number,
        }))
    }
}
