//! How servers are, again and again.

use super::connectivity_test::{encode_status, wanted_status};
use crate::app::delete_heartbeat::DeleteHeartbeat;
use crate::app::read_heartbeats::ReadHeartbeats;
use crate::app::set_heartbeat::SetHeartbeat;
use crate::heartbeat::{Found, ServerState, StateChange};
use crate::report::Status;
use keywright_proto::probe as proto;
use keywright_proto::probe::heartbeat_service_server::HeartbeatService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use std::time::Duration;
use tonic::{Request, Response};

pub struct Heartbeats {
    pub set: SetHeartbeat,
    pub delete: DeleteHeartbeat,
    pub read: ReadHeartbeats,
}

#[tonic::async_trait]
impl HeartbeatService for Heartbeats {
    async fn set_heartbeat(
        &self,
        request: Request<proto::SetHeartbeatRequest>,
    ) -> Result<Response<proto::SetHeartbeatResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let interval = asked.interval.and_then(|sent| Duration::try_from(sent).ok());
        let set = self.set.run(&caller, &asked.server_id, interval).await?;
        Ok(Response::new(proto::SetHeartbeatResponse { heartbeat: Some(encode(&set)) }))
    }

    async fn get_heartbeat(
        &self,
        request: Request<proto::GetHeartbeatRequest>,
    ) -> Result<Response<proto::GetHeartbeatResponse>, tonic::Status> {
        let found = self.read.find(&caller(&request)?, &request.get_ref().server_id).await?;
        Ok(Response::new(proto::GetHeartbeatResponse { heartbeat: Some(encode(&found)) }))
    }

    async fn delete_heartbeat(
        &self,
        request: Request<proto::DeleteHeartbeatRequest>,
    ) -> Result<Response<proto::DeleteHeartbeatResponse>, tonic::Status> {
        self.delete.run(&caller(&request)?, &request.get_ref().server_id).await?;
        Ok(Response::new(proto::DeleteHeartbeatResponse {}))
    }

    async fn list_heartbeats(
        &self,
        request: Request<proto::ListHeartbeatsRequest>,
    ) -> Result<Response<proto::ListHeartbeatsResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let status = wanted_status(asked.status());
        let (found, next_page_token) =
            self.read.list(&caller, &asked.tenant_id, status, asked.page_size, &asked.page_token).await?;
        let items = found.iter().map(encode).collect();
        Ok(Response::new(proto::ListHeartbeatsResponse { items, next_page_token }))
    }

    async fn list_state_changes(
        &self,
        request: Request<proto::ListStateChangesRequest>,
    ) -> Result<Response<proto::ListStateChangesResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let (found, next_page_token) =
            self.read.changes(&caller, &asked.server_id, asked.page_size, &asked.page_token).await?;
        let items = found.iter().map(encode_change).collect();
        Ok(Response::new(proto::ListStateChangesResponse { items, next_page_token }))
    }
}

fn encode(state: &ServerState) -> proto::Heartbeat {
    let last = state.last.as_ref();
    let found = last.map(|last| &last.found);
    let text = |of: fn(&Found) -> &String| found.map(of).cloned().unwrap_or_default();
    proto::Heartbeat {
        server_id: state.server.to_string(),
        tenant_id: state.tenant.to_string(),
        server_name: state.name.clone(),
        interval: state.heartbeat.as_ref().and_then(|heartbeat| heartbeat.interval.try_into().ok()),
        next_at: state.heartbeat.as_ref().map(|heartbeat| timestamp(heartbeat.next_at)),
        status: status(found.map(|found| found.status)),
        failed_check: text(|found| &found.failed_check),
        reason: text(|found| &found.reason),
        since: last.map(|last| timestamp(last.since)),
        checked_at: last.map(|last| timestamp(last.checked_at)),
        skipped_reason: state.skipped.clone(),
    }
}

fn encode_change(change: &StateChange) -> proto::StateChange {
    proto::StateChange {
        test_id: change.test.to_string(),
        changed_at: Some(timestamp(change.at)),
        from: status(Some(change.from.status)),
        from_reason: change.from.reason.clone(),
        to: status(Some(change.to.status)),
        to_reason: change.to.reason.clone(),
    }
}

fn status(found: Option<Status>) -> i32 {
    found.map_or(proto::ConnectivityStatus::Unspecified, encode_status).into()
}
