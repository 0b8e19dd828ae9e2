//! Tokens of 60 seconds as they travel between services, obtained as the gateway obtains them, and used by whoever
//! might have got hold of one.

use std::path::Path;

use keywright_domain::caller::ServiceName;
use keywright_domain::clock::Clock;
use keywright_proto::audit::ListAuditEventsRequest;
use keywright_proto::audit::audit_service_client::AuditServiceClient;
use keywright_proto::credential::ListTenantsRequest;
use keywright_proto::credential::tenant_service_client::TenantServiceClient;
use keywright_proto::identity::ExchangeRequest;
use keywright_proto::identity::exchange_service_client::ExchangeServiceClient;
use keywright_proto::lifecycle::GetRotationRequest;
use keywright_proto::lifecycle::rotation_service_client::RotationServiceClient;
use keywright_proto::probe::ListConnectivityTestsRequest;
use keywright_proto::probe::connectivity_test_service_client::ConnectivityTestServiceClient;
use keywright_runtime::keys;
use keywright_runtime::token::Signer;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// The services that keep state, in a fixed order.
pub const SERVICES: [ServiceName; 4] = [
    ServiceName::CredentialStore,
    ServiceName::KeyLifecycle,
    ServiceName::ConnectivityProbe,
    ServiceName::Audit,
];

pub fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy()
}

pub fn bearer<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// What the gateway gets for a user's token, for one service.
pub async fn exchange(
    store: &Channel,
    data: &Path,
    token: &str,
    audience: ServiceName,
) -> Result<String, Status> {
    let key = keys::signing_key(data, ServiceName::Gateway.as_str()).unwrap();
    let proof = Signer::new(key, Clock::System).proof(ServiceName::CredentialStore, None).unwrap();
    let request = ExchangeRequest {
        subject_token: token.to_owned(),
        audience: audience.as_str().to_owned(),
        ..ExchangeRequest::default()
    };
    let answer = ExchangeServiceClient::new(store.clone()).exchange(bearer(&proof, request)).await?;
    Ok(answer.into_inner().token)
}

/// Whether the service takes an operator's token: Ok, or why not.
pub async fn ask(at: &Channel, service: ServiceName, token: &str) -> Result<(), Status> {
    match service {
        ServiceName::CredentialStore => {
            let request = bearer(token, ListTenantsRequest::default());
            TenantServiceClient::new(at.clone()).list_tenants(request).await.map(drop)
        }
        ServiceName::KeyLifecycle => {
            let rotation_id = format!("rot_{}", "a".repeat(26));
            let request = bearer(token, GetRotationRequest { rotation_id });
            match RotationServiceClient::new(at.clone()).get_rotation(request).await {
                Err(status) if status.code() == Code::NotFound => Ok(()),
                answer => answer.map(drop),
            }
        }
        ServiceName::ConnectivityProbe => {
            let server_id = format!("srv_{}", "a".repeat(26));
            let request = ListConnectivityTestsRequest { server_id, ..Default::default() };
            match ConnectivityTestServiceClient::new(at.clone())
                .list_connectivity_tests(bearer(token, request))
                .await
            {
                Err(status) if status.code() == Code::NotFound => Ok(()),
                answer => answer.map(drop),
            }
        }
        _ => {
            let request = bearer(token, ListAuditEventsRequest::default());
            AuditServiceClient::new(at.clone()).list_audit_events(request).await.map(drop)
        }
    }
}
