//! Credential-store and audit, as small as the probe's questions to them.

use keywright_domain::caller::ServiceName;
use keywright_domain::clock::Clock;
use keywright_domain::key::{PrivateKey, PublicKey, SignatureAlgorithm, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_proto::audit::{self, audit_intake_service_server as intake};
use keywright_proto::credential::{
    self as proto, custody_service_server as custody, directory_service_server as directory,
};
use keywright_proto::identity::{self, exchange_service_server as exchange};
use keywright_proto::lifecycle::notification_intake_service_server::NotificationIntakeService;
use keywright_proto::lifecycle::{NotifyRequest, NotifyResponse};
use keywright_runtime::failure::Failure;
use keywright_runtime::keys::PublicKeys;
use keywright_runtime::token::{Verified, Verifier};
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tonic::{Request, Response, Status};

/// What was asked of credential-store, and by whom: `user:<token>` or `work:<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub rpc: &'static str,
    pub who: String,
}

#[derive(Clone)]
pub struct Store {
    verifier: Verifier,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    servers: BTreeMap<String, proto::Server>,
    credentials: BTreeMap<String, proto::SshCredential>,
    keys: BTreeMap<String, String>,
    sealed: bool,
    asked: Vec<Asked>,
    signed: Vec<proto::SignUserauthRequest>,
    recorded: Vec<proto::RecordTestResultRequest>,
    mismatches: Vec<proto::ReportHostKeyMismatchRequest>,
}

impl Store {
    pub fn new(keys: PublicKeys) -> Self {
        let verifier = Verifier::new(keys, ServiceName::CredentialStore, Clock::System);
        Self { verifier, inner: Arc::default() }
    }

    pub fn put_server(&self, server: proto::Server) {
        self.inner.lock().unwrap().servers.insert(server.id.clone(), server);
    }

    /// A credential that signs with `private_key`.
    pub fn put_credential(&self, credential: proto::SshCredential, private_key: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.keys.insert(credential.id.clone(), private_key.to_owned());
        inner.credentials.insert(credential.id.clone(), credential);
    }

    pub fn seal(&self) {
        self.inner.lock().unwrap().sealed = true;
    }

    pub fn unseal(&self) {
        self.inner.lock().unwrap().sealed = false;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner.lock().unwrap().asked.clone()
    }

    pub fn signed(&self) -> Vec<proto::SignUserauthRequest> {
        self.inner.lock().unwrap().signed.clone()
    }

    pub fn recorded(&self) -> Vec<proto::RecordTestResultRequest> {
        self.inner.lock().unwrap().recorded.clone()
    }

    pub fn mismatches(&self) -> Vec<proto::ReportHostKeyMismatchRequest> {
        self.inner.lock().unwrap().mismatches.clone()
    }

    fn note<T>(&self, rpc: &'static str, request: &Request<T>) {
        let header = request.metadata().get("authorization").unwrap().to_str().unwrap();
        let token = header.strip_prefix("Bearer ").unwrap();
        let who = match token.strip_prefix("short-for-") {
            Some(user) => format!("user:{user}"),
            None => match self.verifier.verify(token).unwrap() {
                Verified::Service(caller) => format!("work:{}", caller.principal.work.unwrap_or_default()),
                _ => panic!("neither a service's proof nor an exchanged token"),
            },
        };
        self.inner.lock().unwrap().asked.push(Asked { rpc, who });
    }
}

fn missing(reason: Reason, id: &str) -> Status {
    Failure::not_found(reason, id).to_status()
}

fn absent<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the probe does not ask this"))
}

#[tonic::async_trait]
impl directory::DirectoryService for Store {
    async fn resolve_server(
        &self,
        request: Request<proto::ResolveServerRequest>,
    ) -> Result<Response<proto::ResolveServerResponse>, Status> {
        self.note("ResolveServer", &request);
        let id = request.into_inner().server_id;
        let server = self.inner.lock().unwrap().servers.get(&id).cloned();
        let server = server.ok_or_else(|| missing(Reason::ServerNotFound, &id))?;
        Ok(Response::new(proto::ResolveServerResponse { server: Some(server) }))
    }

    async fn resolve_credential(
        &self,
        request: Request<proto::ResolveCredentialRequest>,
    ) -> Result<Response<proto::ResolveCredentialResponse>, Status> {
        self.note("ResolveCredential", &request);
        let id = request.into_inner().credential_id;
        let credential = self.inner.lock().unwrap().credentials.get(&id).cloned();
        let credential = credential.ok_or_else(|| missing(Reason::CredentialNotFound, &id))?;
        Ok(Response::new(proto::ResolveCredentialResponse { credential: Some(credential) }))
    }

    async fn resolve_route(
        &self,
        request: Request<proto::ResolveRouteRequest>,
    ) -> Result<Response<proto::ResolveRouteResponse>, Status> {
        self.note("ResolveRoute", &request);
        let inner = self.inner.lock().unwrap();
        let mut jump_hosts = Vec::new();
        let mut next = request.into_inner().jump_host_id;
        while !next.is_empty() {
            let server = inner.servers.get(&next).ok_or_else(|| missing(Reason::ServerNotFound, &next))?;
            let bound = server.credential.as_ref().expect("a jump host has a credential");
            let credential = inner.credentials.get(&bound.credential_id).cloned();
            jump_hosts.insert(0, proto::JumpHost { server: Some(server.clone()), credential });
            next = server.jump_host_id.clone();
        }
        Ok(Response::new(proto::ResolveRouteResponse { jump_hosts }))
    }

    async fn report_host_key_mismatch(
        &self,
        request: Request<proto::ReportHostKeyMismatchRequest>,
    ) -> Result<Response<proto::ReportHostKeyMismatchResponse>, Status> {
        self.note("ReportHostKeyMismatch", &request);
        self.inner.lock().unwrap().mismatches.push(request.into_inner());
        Ok(Response::new(proto::ReportHostKeyMismatchResponse {}))
    }

    async fn resolve_targets(
        &self,
        request: Request<proto::ResolveTargetsRequest>,
    ) -> Result<Response<proto::ResolveTargetsResponse>, Status> {
        self.note("ResolveTargets", &request);
        let inner = self.inner.lock().unwrap();
        let servers = request.get_ref().server_ids.iter().filter_map(|id| inner.servers.get(id).cloned());
        let targets = servers.map(|server| {
            let bound = server.credential.as_ref();
            let credential = bound.and_then(|bound| inner.credentials.get(&bound.credential_id).cloned());
            proto::DirectoryTarget { server: Some(server), credential }
        });
        Ok(Response::new(proto::ResolveTargetsResponse { targets: targets.collect() }))
    }

    async fn record_test_results(
        &self,
        request: Request<proto::RecordTestResultsRequest>,
    ) -> Result<Response<proto::RecordTestResultsResponse>, Status> {
        self.note("RecordTestResults", &request);
        let results = request.into_inner().results.into_iter().map(|result| proto::RecordTestResultRequest {
            server_id: result.server_id,
            credential_id: result.credential_id,
            test_id: result.test_id,
            status: result.status,
            server_version: result.server_version,
        });
        self.inner.lock().unwrap().recorded.extend(results);
        Ok(Response::new(proto::RecordTestResultsResponse {}))
    }

    async fn record_test_result(
        &self,
        request: Request<proto::RecordTestResultRequest>,
    ) -> Result<Response<proto::RecordTestResultResponse>, Status> {
        self.note("RecordTestResult", &request);
        self.inner.lock().unwrap().recorded.push(request.into_inner());
        Ok(Response::new(proto::RecordTestResultResponse {}))
    }

    async fn set_management_key(
        &self,
        _: Request<proto::SetManagementKeyRequest>,
    ) -> Result<Response<proto::SetManagementKeyResponse>, Status> {
        absent()
    }

    async fn add_reference(
        &self,
        _: Request<proto::AddReferenceRequest>,
    ) -> Result<Response<proto::AddReferenceResponse>, Status> {
        absent()
    }

    async fn remove_reference(
        &self,
        _: Request<proto::RemoveReferenceRequest>,
    ) -> Result<Response<proto::RemoveReferenceResponse>, Status> {
        absent()
    }

    async fn forget_management_key(
        &self,
        _: Request<proto::ForgetManagementKeyRequest>,
    ) -> Result<Response<proto::ForgetManagementKeyResponse>, Status> {
        absent()
    }

    /// On pages of two.
    async fn list_directory_servers(
        &self,
        request: Request<proto::ListDirectoryServersRequest>,
    ) -> Result<Response<proto::ListDirectoryServersResponse>, Status> {
        self.note("ListDirectoryServers", &request);
        let asked = request.into_inner();
        let inner = self.inner.lock().unwrap();
        let of_tenant =
            |server: &&proto::Server| asked.tenant_id.is_empty() || server.tenant_id == asked.tenant_id;
        let after = inner.servers.range::<String, _>((Excluded(&asked.page_token), Unbounded));
        let items: Vec<proto::Server> =
            after.map(|(_, server)| server).filter(of_tenant).take(2).cloned().collect();
        let next_page_token = items.get(1).map(|last| last.id.clone()).unwrap_or_default();
        Ok(Response::new(proto::ListDirectoryServersResponse { items, next_page_token }))
    }

    async fn list_directory_tenants(
        &self,
        _: Request<proto::ListDirectoryTenantsRequest>,
    ) -> Result<Response<proto::ListDirectoryTenantsResponse>, Status> {
        absent()
    }

    async fn close_tenant(
        &self,
        _: Request<proto::CloseTenantRequest>,
    ) -> Result<Response<proto::CloseTenantResponse>, Status> {
        absent()
    }
}

#[tonic::async_trait]
impl custody::CustodyService for Store {
    async fn sign_userauth(
        &self,
        request: Request<proto::SignUserauthRequest>,
    ) -> Result<Response<proto::SignUserauthResponse>, Status> {
        self.note("SignUserauth", &request);
        let request = request.into_inner();
        let (key, sealed) = {
            let inner = self.inner.lock().unwrap();
            (inner.keys.get(&request.credential_id).cloned(), inner.sealed)
        };
        if sealed {
            return Err(Failure::new(Reason::SecretStoreSealed, "The secret store is sealed.").to_status());
        }
        let key = key.ok_or_else(|| missing(Reason::CredentialNotFound, &request.credential_id))?;
        let key = PrivateKey::from_stored(&Secret::from_text(key)).unwrap();
        let algorithm = SignatureAlgorithm::parse(&request.algorithm).unwrap();
        let login = UserauthRequest::new(
            request.session_id.clone(),
            request.username.clone(),
            algorithm,
            PublicKey::clone(key.public()),
        );
        let signature = key.sign(algorithm, &login.unwrap().signed_bytes()).unwrap();
        self.inner.lock().unwrap().signed.push(request);
        Ok(Response::new(proto::SignUserauthResponse { signature }))
    }

    async fn create_managed_credential(
        &self,
        _: Request<proto::CreateManagedCredentialRequest>,
    ) -> Result<Response<proto::CreateManagedCredentialResponse>, Status> {
        absent()
    }

    async fn generate_version(
        &self,
        _: Request<proto::GenerateVersionRequest>,
    ) -> Result<Response<proto::GenerateVersionResponse>, Status> {
        absent()
    }

    async fn set_version_state(
        &self,
        _: Request<proto::SetVersionStateRequest>,
    ) -> Result<Response<proto::SetVersionStateResponse>, Status> {
        absent()
    }

    async fn get_managed_credential(
        &self,
        _: Request<proto::GetManagedCredentialRequest>,
    ) -> Result<Response<proto::GetManagedCredentialResponse>, Status> {
        absent()
    }

    async fn register_version(
        &self,
        _: Request<proto::RegisterVersionRequest>,
    ) -> Result<Response<proto::RegisterVersionResponse>, Status> {
        absent()
    }
}

#[tonic::async_trait]
impl exchange::ExchangeService for Store {
    async fn exchange(
        &self,
        request: Request<identity::ExchangeRequest>,
    ) -> Result<Response<identity::ExchangeResponse>, Status> {
        let request = request.into_inner();
        assert_eq!(request.audience, ServiceName::CredentialStore.as_str());
        Ok(Response::new(identity::ExchangeResponse {
            token: format!("short-for-{}", request.subject_token),
        }))
    }
}

/// The audit log.
#[derive(Clone, Default)]
pub struct Log {
    down: Arc<AtomicBool>,
    intents: Arc<Mutex<Vec<audit::RecordIntentRequest>>>,
    outcomes: Arc<Mutex<Vec<audit::Outcome>>>,
}

impl Log {
    pub fn take_down(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    pub fn intents(&self) -> Vec<audit::RecordIntentRequest> {
        self.intents.lock().unwrap().clone()
    }

    pub fn outcome_of(&self, event: &str) -> Option<audit::Outcome> {
        self.outcomes.lock().unwrap().iter().find(|outcome| outcome.event_id == event).cloned()
    }

    fn up(&self) -> Result<(), Status> {
        if self.down.load(Ordering::SeqCst) { Err(Status::unavailable("down")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl intake::AuditIntakeService for Log {
    async fn record_intent(
        &self,
        request: Request<audit::RecordIntentRequest>,
    ) -> Result<Response<audit::RecordIntentResponse>, Status> {
        self.up()?;
        self.intents.lock().unwrap().push(request.into_inner());
        Ok(Response::new(audit::RecordIntentResponse::default()))
    }

    async fn record_outcomes(
        &self,
        request: Request<audit::RecordOutcomesRequest>,
    ) -> Result<Response<audit::RecordOutcomesResponse>, Status> {
        self.up()?;
        self.outcomes.lock().unwrap().extend(request.into_inner().outcomes);
        Ok(Response::new(audit::RecordOutcomesResponse {}))
    }
}

/// What people are told.
#[derive(Clone, Default)]
pub struct Notices(Arc<Mutex<Vec<NotifyRequest>>>);

impl Notices {
    pub fn told(&self) -> Vec<NotifyRequest> {
        self.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl NotificationIntakeService for Notices {
    async fn notify(&self, request: Request<NotifyRequest>) -> Result<Response<NotifyResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(NotifyResponse {}))
    }
}
