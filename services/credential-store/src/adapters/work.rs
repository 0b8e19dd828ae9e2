//! key-lifecycle and connectivity-probe: whether a work in the background is open and covers what it wants to use.

use keywright_domain::caller::ServiceName;
use keywright_domain::ids::{CredentialId, FleetTestId, ServerId};
use keywright_proto::lifecycle::CheckWorkRequest;
use keywright_proto::lifecycle::work_service_client::WorkServiceClient;
use keywright_proto::probe::CheckFleetWorkRequest;
use keywright_proto::probe::fleet_work_service_client::FleetWorkServiceClient;
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

    /// Of a fleet test: whether it tests the server now. With which credential is for the binding to say.
    pub async fn is_tested(&self, test: &FleetTestId, server: &ServerId) -> Result<bool, Failure> {
        let message = CheckFleetWorkRequest { work: test.to_string(), server_id: server.to_string() };
        let request = self.outbound.own_request(ServiceName::ConnectivityProbe, None, message)?;
        let mut client = FleetWorkServiceClient::new(self.outbound.peer(ServiceName::ConnectivityProbe));
        Ok(client.check_fleet_work(request).await?.into_inner().open)
    }

    /// Of the lifecycle: whether it covers the credential there; of none, whether it is open on the server at all.
    pub async fn is_open(
        &self,
        work: &str,
        credential: Option<&CredentialId>,
        server: &ServerId,
    ) -> Result<bool, Failure> {
        let message = CheckWorkRequest {
            work: work.to_owned(),
            credential_id: credential.map(ToString::to_string).unwrap_or_default(),
            server_id: server.to_string(),
        };
        let request = self.outbound.own_request(ServiceName::KeyLifecycle, None, message)?;
        let mut client = WorkServiceClient::new(self.outbound.peer(ServiceName::KeyLifecycle));
        Ok(client.check_work(request).await?.into_inner().open)
    }
}
