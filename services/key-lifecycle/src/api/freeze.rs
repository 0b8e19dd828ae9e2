//! Brakes.

use crate::app::freeze::Freezes;
use crate::model::Freeze;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::freeze_service_server::FreezeService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl FreezeService for Freezes {
    async fn set_freeze(
        &self,
        request: Request<proto::SetFreezeRequest>,
    ) -> Result<Response<proto::SetFreezeResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let all = self.set(&caller, asked.frozen, &asked.tenant_id, &asked.reason).await?;
        Ok(Response::new(proto::SetFreezeResponse { items: all.into_iter().map(freeze).collect() }))
    }

    async fn get_freeze(
        &self,
        request: Request<proto::GetFreezeRequest>,
    ) -> Result<Response<proto::GetFreezeResponse>, Status> {
        let all = self.read(&caller(&request)?).await?;
        Ok(Response::new(proto::GetFreezeResponse { items: all.into_iter().map(freeze).collect() }))
    }
}

fn freeze(freeze: Freeze) -> proto::Freeze {
    proto::Freeze {
        tenant_id: freeze.tenant.map(String::from).unwrap_or_default(),
        frozen_at: Some(timestamp(freeze.frozen_at)),
        frozen_by: freeze.frozen_by,
        comment: freeze.comment,
    }
}
