//! key-lifecycle: whether a work in the background is open and covers what it wants to use.

use keywright_domain::caller::ServiceName;
use keywright_domain::ids::{CredentialId, ServerId};
use keywright_proto::lifecycle::CheckWorkRequest;
use keywright_proto::lifecycle::work_service_client::WorkServiceClient;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;

#[derive(Clone)]
pub struct Works {
    outbound: Outbound,
}

impl Works {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    pub async fn is_open(
        &self,
        work: &str,
        credential: &CredentialId,
        server: &ServerId,
    ) -> Result<bool, Failure> {
        let message = CheckWorkRequest {
            work: work.to_owned(),
            credential_id: credential.to_string(),
            server_id: server.to_string(),
        };
        let request = self.outbound.own_request(ServiceName::KeyLifecycle, None, message)?;
        let mut client = WorkServiceClient::new(self.outbound.peer(ServiceName::KeyLifecycle));
        Ok(client.check_work(request).await?.into_inner().open)
    }
}
