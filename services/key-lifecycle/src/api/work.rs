//! What is open, for credential-store.

use crate::app::check_work::CheckWork;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::work_service_server::WorkService;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Works {
    pub check: CheckWork,
}

#[tonic::async_trait]
impl WorkService for Works {
    async fn check_work(
        &self,
        request: Request<proto::CheckWorkRequest>,
    ) -> Result<Response<proto::CheckWorkResponse>, Status> {
        let asked = request.get_ref();
        let open = self.check.run(&asked.work, &asked.credential_id, &asked.server_id).await?;
        Ok(Response::new(proto::CheckWorkResponse { open }))
    }
}
