//! connectivity-probe: scans and tests, on behalf of the caller.

use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::host::{HostName, Port};
use keywright_domain::ids::{CredentialId, ServerId};
use keywright_domain::key::PublicKey;
use keywright_proto::probe as proto;
use keywright_proto::probe::connectivity_test_service_client::ConnectivityTestServiceClient;
use keywright_proto::probe::proof_service_client::ProofServiceClient;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;

/// How a test with a credential that is not bound ended.
#[derive(Debug, Clone)]
pub struct Login {
    /// `ctest_…`
    pub id: String,
    /// HEALTHY, DEGRADED or UNREACHABLE.
    pub status: String,
    pub logged_in: bool,
    /// The code of the check that failed; empty where none did.
    pub code: String,
    pub message: String,
}

/// The host keys that an address shows.
pub struct Scan {
    pub keys: Vec<PublicKey>,
    /// What DNS says of them, for the audit log: a hint that decides nothing.
    pub sshfp: String,
}

#[derive(Clone)]
pub struct Probe {
    outbound: Outbound,
}

impl Probe {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// The host keys that an address shows now. Kinds of keys that Keywright does not know are left out.
    pub async fn scan(
        &self,
        caller: &Caller,
        host: &HostName,
        port: Port,
        jump_host: Option<&ServerId>,
    ) -> Result<Scan, Failure> {
        let message = proto::ScanTargetRequest {
            host: host.to_string(),
            port: i32::from(port.get()),
            jump_host_id: jump_host.map(ToString::to_string).unwrap_or_default(),
        };
        let request = self.outbound.request(ServiceName::ConnectivityProbe, caller, message).await?;
        let mut client = ProofServiceClient::new(self.outbound.peer(ServiceName::ConnectivityProbe));
        let shown = client.scan_target(request).await?.into_inner();
        let keys = shown.items.iter().filter_map(|item| PublicKey::parse_openssh(&item.public_key).ok());
        Ok(Scan { keys: keys.collect(), sshfp: sshfp(&shown) })
    }

    /// The full test of a server with its bound credential; the test's id.
    pub async fn test(&self, caller: &Caller, server: &ServerId) -> Result<String, Failure> {
        let message =
            proto::CreateConnectivityTestRequest { server_id: server.to_string(), ..Default::default() };
        let request = self.outbound.request(ServiceName::ConnectivityProbe, caller, message).await?;
        let mut client =
            ConnectivityTestServiceClient::new(self.outbound.peer(ServiceName::ConnectivityProbe));
        Ok(client.create_connectivity_test(request).await?.into_inner().test.unwrap_or_default().id)
    }

    /// The full test of a server with another saved credential than its own.
    pub async fn log_in(
        &self,
        caller: &Caller,
        server: &ServerId,
        credential: &CredentialId,
        username: &str,
    ) -> Result<Login, Failure> {
        let message = proto::CreateConnectivityTestRequest {
            server_id: server.to_string(),
            credential_id: credential.to_string(),
            username: username.to_owned(),
            one_time: None,
        };
        let request = self.outbound.request(ServiceName::ConnectivityProbe, caller, message).await?;
        let mut client =
            ConnectivityTestServiceClient::new(self.outbound.peer(ServiceName::ConnectivityProbe));
        let test = client.create_connectivity_test(request).await?.into_inner().test.unwrap_or_default();
        Ok(login(&test))
    }
}

fn sshfp(shown: &proto::ScanTargetResponse) -> String {
    let verdict = |item: &proto::ScannedHostKey| match item.sshfp() {
        proto::SshfpVerdict::Matches => "MATCHES",
        proto::SshfpVerdict::Differs => "DIFFERS",
        proto::SshfpVerdict::Absent => "ABSENT",
        proto::SshfpVerdict::Unknown | proto::SshfpVerdict::Unspecified => "UNKNOWN",
    };
    let dnssec = match shown.dnssec() {
        proto::SshfpDnssec::Verified => "VERIFIED",
        proto::SshfpDnssec::Bogus => "BOGUS",
        proto::SshfpDnssec::Unverified | proto::SshfpDnssec::Unspecified => "UNVERIFIED",
    };
    let said = |item: &proto::ScannedHostKey| format!("{} {}", item.fingerprint, verdict(item));
    let keys = shown.items.iter().map(said).collect::<Vec<_>>().join(", ");
    format!("{keys} ({dnssec})")
}

fn login(test: &proto::ConnectivityTest) -> Login {
    let (status, logged_in) = match test.status() {
        proto::ConnectivityStatus::Healthy => ("HEALTHY", true),
        proto::ConnectivityStatus::Degraded => ("DEGRADED", true),
        proto::ConnectivityStatus::Unreachable | proto::ConnectivityStatus::Unspecified => {
            ("UNREACHABLE", false)
        }
    };
    let failed = test.checks.iter().find(|check| check.status() == proto::CheckStatus::Failed);
    Login {
        id: test.id.clone(),
        status: status.to_owned(),
        logged_in,
        code: failed.map(|check| check.code.clone()).unwrap_or_default(),
        message: failed.map(|check| check.message.clone()).unwrap_or_default(),
    }
}
