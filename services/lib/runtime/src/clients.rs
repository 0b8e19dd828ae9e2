//! How a service calls another: with the caller's token exchanged for the other's audience, or, for work of its own,
//! with its own proof.

use crate::failure::Failure;
use crate::peer::{Peer, Peers};
use crate::telemetry;
use crate::token::Signer;
use keywright_domain::caller::{Caller, PrincipalKind, ServiceName};
use keywright_domain::reason::Reason;
use keywright_proto::identity::ExchangeRequest;
use keywright_proto::identity::exchange_service_client::ExchangeServiceClient;
use std::time::Duration;
use tonic::metadata::MetadataValue;

/// How long a call inside takes at most, where the caller's own deadline is not nearer.
pub const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// The header that carries the request's id between services.
pub const REQUEST_ID: &str = "keywright-request-id";

/// The header by which the gateway says where a stranger's request came from; believed from the gateway alone.
pub(crate) const SOURCE_IP: &str = "keywright-source-ip";

#[derive(Clone)]
pub struct Outbound {
    own: ServiceName,
    peers: Peers,
    signer: Signer,
}

impl Outbound {
    pub fn new(own: ServiceName, peers: Peers, signer: Signer) -> Self {
        Self { own, peers, signer }
    }

    pub fn own(&self) -> ServiceName {
        self.own
    }

    pub fn peer(&self, to: ServiceName) -> Peer {
        self.peers.get(to)
    }

    pub(crate) fn own_proof(&self, to: ServiceName) -> Result<String, Failure> {
        self.signer.proof(to, None).map_err(|_| unsigned())
    }

    /// A request under this service's own identity, with the background work it belongs to.
    pub fn own_request<T>(
        &self,
        to: ServiceName,
        work: Option<&str>,
        message: T,
    ) -> Result<tonic::Request<T>, Failure> {
        let proof = self.signer.proof(to, work).map_err(|_| unsigned())?;
        bearer(message, &proof, work.unwrap_or_default())
    }

    /// A request for `caller`. Work in the background goes under this service's own identity and the id of the work;
    /// everything else under the caller's, vouched for by this service.
    pub async fn request<T>(
        &self,
        to: ServiceName,
        caller: &Caller,
        message: T,
    ) -> Result<tonic::Request<T>, Failure> {
        if caller.principal.kind == PrincipalKind::System {
            return self.own_request(to, caller.principal.work.as_deref(), message);
        }
        let subject = caller.bearer.as_ref().and_then(|token| token.expose_text()).ok_or_else(unsigned)?;
        let token = self.exchange(subject, to, caller).await?;
        bearer(message, &token, &caller.request_id)
    }

    /// Exchanges `subject` (a user's token, or one that was made for this service) for one for `audience`.
    pub async fn exchange(
        &self,
        subject: &str,
        audience: ServiceName,
        caller: &Caller,
    ) -> Result<String, Failure> {
        let request = ExchangeRequest {
            subject_token: subject.to_owned(),
            audience: audience.as_str().to_owned(),
            request_id: caller.request_id.clone(),
            source_ip: caller.source_ip.clone(),
            user_agent: caller.user_agent.clone(),
            client_certificate: caller.client_certificate.clone(),
        };
        let request = self.own_request(ServiceName::CredentialStore, None, request)?;
        let answer =
            ExchangeServiceClient::new(self.peer(ServiceName::CredentialStore)).exchange(request).await?;
        Ok(answer.into_inner().token)
    }
}

fn unsigned() -> Failure {
    Failure::new(Reason::Unauthenticated, "The request carries no identity that could be passed on.")
}

fn bearer<T>(message: T, token: &str, request_id: &str) -> Result<tonic::Request<T>, Failure> {
    let mut request = tonic::Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| unsigned())?;
    request.metadata_mut().insert("authorization", value);
    if let Ok(value) = MetadataValue::try_from(request_id) {
        request.metadata_mut().insert(REQUEST_ID, value);
    }
    telemetry::inject(request.metadata_mut());
    request.set_timeout(CALL_DEADLINE);
    Ok(request)
}
