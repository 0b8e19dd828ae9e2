//! connectivity-probe: receipts by fresh connections.

use crate::model::Receipt;
use keywright_domain::account::AccountName;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CredentialId, ServerId, VersionId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_proto::probe as proto;
use keywright_proto::probe::proof_service_client::ProofServiceClient;
use keywright_runtime::audit::instant;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;

#[derive(Clone)]
pub struct Probe {
    outbound: Outbound,
}

/// Whose key is to log in.
#[derive(Debug, Clone, Copy)]
pub struct KeyToProve<'a> {
    pub credential: &'a CredentialId,
    pub version: &'a VersionId,
    pub public_key: &'a PublicKey,
}

impl Probe {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    pub async fn login(
        &self,
        work: &str,
        server: &ServerId,
        username: &str,
        key: KeyToProve<'_>,
    ) -> Result<Receipt, Failure> {
        let message = proto::ProveLoginRequest {
            server_id: server.to_string(),
            credential_id: key.credential.to_string(),
            version_id: key.version.to_string(),
            public_key: key.public_key.openssh(),
            username: username.to_owned(),
        };
        let request = self.request(work, message).await?;
        receipt(self.client().prove_login(request).await?.into_inner().receipt)
    }

    pub async fn offer(
        &self,
        work: &str,
        server: &ServerId,
        account: &AccountName,
        public_key: &PublicKey,
    ) -> Result<Receipt, Failure> {
        let message = proto::ProveOfferRequest {
            server_id: server.to_string(),
            public_key: public_key.openssh(),
            username: account.to_string(),
        };
        let request = self.request(work, message).await?;
        receipt(self.client().prove_offer(request).await?.into_inner().receipt)
    }

    async fn request<T>(&self, work: &str, message: T) -> Result<tonic::Request<T>, Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, work);
        self.outbound.request(ServiceName::ConnectivityProbe, &caller, message).await
    }

    fn client(&self) -> ProofServiceClient<keywright_runtime::peer::Peer> {
        ProofServiceClient::new(self.outbound.peer(ServiceName::ConnectivityProbe))
    }
}

fn receipt(answer: Option<proto::Receipt>) -> Result<Receipt, Failure> {
    let answer = answer.ok_or_else(|| Failure::new(Reason::Internal, "The proof came without a receipt."))?;
    let method = match answer.method() {
        proto::ProofMethod::Login => "LOGIN",
        proto::ProofMethod::Offer => "OFFER",
        proto::ProofMethod::Unspecified => {
            return Err(Failure::new(Reason::Internal, "The proof names no method."));
        }
    };
    let proven_at = answer.proven_at.map_or(Instant::from_micros(0), instant);
    Ok(Receipt {
        method: method.to_owned(),
        accepted: answer.accepted,
        proven_at_micros: proven_at.micros(),
        host_key: answer.host_key,
        source_port: answer.source_port,
        server_version: answer.server_version,
    })
}
