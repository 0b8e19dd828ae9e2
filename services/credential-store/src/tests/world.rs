//! A credential-store with a database of its own, and short ways to say what a test is about.

use super::fakes::{Exchange, Lifecycle, Log, Prober};
use crate::adapters::custody::{Custody, Kek, SealedStore};
use crate::app::custody::shelf::Shelf;
use crate::app::servers::tell_host_keys::TellHostKeys;
use crate::domain::tenant::{Particulars, State, Tenant};
use crate::store::tenant;
use crate::{MIGRATIONS, Parts, build};
use keywright_domain::caller::{Caller, Principal, PrincipalKind, Role, ServiceName};
use keywright_domain::clock::{Clock, Instant};
use keywright_domain::ids::{PrincipalId, TenantId};
use keywright_domain::key::{GenerateSpec, PrivateKey};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_proto::audit::audit_intake_service_server::AuditIntakeServiceServer;
use keywright_proto::credential as proto;
use keywright_proto::credential::custody_service_client::CustodyServiceClient;
use keywright_proto::credential::directory_service_client::DirectoryServiceClient;
use keywright_proto::credential::release_service_client::ReleaseServiceClient;
use keywright_proto::credential::resolve_service_client::ResolveServiceClient;
use keywright_proto::credential::server_service_client::ServerServiceClient;
use keywright_proto::credential::signing_service_client::SigningServiceClient;
use keywright_proto::credential::ssh_credential_service_client::SshCredentialServiceClient;
use keywright_proto::credential::tenant_service_client::TenantServiceClient;
use keywright_proto::identity::exchange_service_server::ExchangeServiceServer;
use keywright_proto::lifecycle::notification_intake_service_server::NotificationIntakeServiceServer;
use keywright_proto::lifecycle::work_service_server::WorkServiceServer;
use keywright_proto::probe::connectivity_test_service_server::ConnectivityTestServiceServer;
use keywright_proto::probe::proof_service_server::ProofServiceServer;
use keywright_runtime::Policy;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::deadline::Deadline;
use keywright_runtime::failure::Failure;
use keywright_runtime::idempotency::Idempotency;
use keywright_runtime::keys;
use keywright_runtime::notices::Notices;
use keywright_runtime::peer::{Peer, Peers};
use keywright_runtime::token::{Signer, Verifier};
use keywright_storage::{Db, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt;

pub struct World {
    pub dir: TempDir,
    pub db: Db,
    pub log: Log,
    pub prober: Prober,
    pub lifecycle: Lifecycle,
    pub shelf: Shelf,
    pub teller: TellHostKeys,
    micros: Arc<AtomicI64>,
    routes: Routes,
}

pub fn kek_bytes() -> Vec<u8> {
    vec![42; 32]
}

pub fn kek() -> Kek {
    Kek::new(Secret::new(kek_bytes())).unwrap()
}

pub fn key_text() -> String {
    let key = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    key.to_openssh().unwrap().expose_text().unwrap().to_owned()
}

impl World {
    pub async fn new() -> Self {
        Self::with(async |db| Custody::Sealed(SealedStore::open(db, &kek()).await.unwrap())).await
    }

    /// In a PostgreSQL database of its own.
    pub async fn on_postgres() -> Self {
        let url = keywright_kit::postgres::postgres_database().await.unwrap();
        let sealed = async |db| Custody::Sealed(SealedStore::open(db, &kek()).await.unwrap());
        Self::on(tempfile::tempdir().unwrap(), Source::Postgres(url), sealed).await
    }

    /// On a database that others are on too.
    pub async fn at(source: Source) -> Self {
        let sealed = async |db| Custody::Sealed(SealedStore::open(db, &kek()).await.unwrap());
        Self::on(tempfile::tempdir().unwrap(), source, sealed).await
    }

    pub async fn with(custody: impl AsyncFnOnce(Db) -> Custody) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::Directory(dir.path().into());
        Self::on(dir, source, custody).await
    }

    async fn on(dir: TempDir, source: Source, custody: impl AsyncFnOnce(Db) -> Custody) -> Self {
        let micros = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let clock = Clock::Manual(micros.clone());
        let db = Db::open(&source, "credential", &MIGRATIONS, clock.clone()).await.unwrap();
        let custody = custody(db.clone()).await;
        let (log, prober, lifecycle) = (Log::default(), Prober::default(), Lifecycle::default());
        let peers = Peers::new();
        let set = |name, routes| peers.set(name, peer(routes, None));
        set(ServiceName::Audit, Routes::new(AuditIntakeServiceServer::new(log.clone())));
        let works = Routes::new(WorkServiceServer::new(lifecycle.clone()));
        let intake = NotificationIntakeServiceServer::new(lifecycle.clone());
        set(ServiceName::KeyLifecycle, works.add_service(intake));
        set(ServiceName::CredentialStore, Routes::new(ExchangeServiceServer::new(Exchange)));
        let proofs = Routes::new(ProofServiceServer::new(prober.clone()));
        set(
            ServiceName::ConnectivityProbe,
            proofs.add_service(ConnectivityTestServiceServer::new(prober.clone())),
        );
        keys::create_all(dir.path()).unwrap();
        let signer = |name: &str| Signer::new(keys::signing_key(dir.path(), name).unwrap(), clock.clone());
        let own = ServiceName::CredentialStore;
        let outbound = Outbound::new(own, peers, signer(own.as_str()));
        let audit = Audit::new(outbound.clone());
        let teller = TellHostKeys { db: db.clone(), notices: Notices::new(outbound.clone()) };
        let parts = Parts {
            db: db.clone(),
            audit: audit.clone(),
            guard: Guard::new(Policy::shipped().unwrap(), audit),
            outbound,
            clock: clock.clone(),
            idempotency: Idempotency::new(&[7; 32]),
            issuer: signer(keys::ISSUER),
            verifier: Verifier::new(keys::public_keys(dir.path()).unwrap(), own, clock),
            custody: custody.clone(),
            oidc: crate::OidcProviders::default(),
            stop: CancellationToken::new(),
        };
        let shelf = Shelf::new(db.clone(), custody);
        let routes = build(parts).routes;
        Self { dir, db, log, prober, lifecycle, shelf, teller, micros, routes }
    }

    pub fn pass(&self, span: Duration) {
        self.micros.fetch_add(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }

    pub async fn tenant(&self) -> TenantId {
        let id = TenantId::random().unwrap();
        let mut tx = self.db.begin_internal("a test's tenant").await.unwrap();
        let created_at: Instant = tx.now();
        let new = Tenant {
            id: id.clone(),
            particulars: Particulars {
                name: "tenant".to_owned(),
                external_id: None,
                time_zone: "UTC".to_owned(),
                contacts: Vec::new(),
                labels: Default::default(),
            },
            state: State::Active,
            revision: 1,
            created_at,
        };
        tenant::insert(&mut tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    fn peer(&self, caller: &Caller) -> Peer {
        peer(self.routes.clone(), Some(caller.clone()))
    }

    /// Requests of the caller that have to be answered within `span`.
    pub fn within(&self, caller: &Caller, span: Duration) -> Peer {
        let peer = self.peer(caller);
        Peer::new(tower::service_fn(move |mut request: http::Request<tonic::body::Body>| {
            request.extensions_mut().insert(Deadline::after(span));
            peer.clone().oneshot(request)
        }))
    }

    pub fn tenants(&self, caller: &Caller) -> TenantServiceClient<Peer> {
        TenantServiceClient::new(self.peer(caller))
    }

    pub fn credentials(&self, caller: &Caller) -> SshCredentialServiceClient<Peer> {
        SshCredentialServiceClient::new(self.peer(caller))
    }

    pub fn servers(&self, caller: &Caller) -> ServerServiceClient<Peer> {
        ServerServiceClient::new(self.peer(caller))
    }

    pub fn keys(&self, caller: &Caller) -> CustodyServiceClient<Peer> {
        CustodyServiceClient::new(self.peer(caller))
    }

    pub fn releases(&self, caller: &Caller) -> ReleaseServiceClient<Peer> {
        ReleaseServiceClient::new(self.peer(caller))
    }

    pub fn signing(&self, caller: &Caller) -> SigningServiceClient<Peer> {
        SigningServiceClient::new(self.peer(caller))
    }

    pub fn resolving(&self, caller: &Caller) -> ResolveServiceClient<Peer> {
        ResolveServiceClient::new(self.peer(caller))
    }

    pub fn directory(&self, caller: &Caller) -> DirectoryServiceClient<Peer> {
        DirectoryServiceClient::new(self.peer(caller))
    }

    /// A saved credential with a fresh key.
    pub async fn saved(&self, caller: &Caller) -> proto::SshCredential {
        let request = proto::CreateSshCredentialRequest {
            name: "deploy".to_owned(),
            private_key: key_text(),
            username: "deploy".to_owned(),
            ..Default::default()
        };
        let answer = self.credentials(caller).create_ssh_credential(request).await.unwrap();
        answer.into_inner().credential.unwrap()
    }

    /// A server of that name.
    pub async fn server(&self, caller: &Caller, name: &str) -> proto::Server {
        let request = proto::RegisterServerRequest {
            name: name.to_owned(),
            host: format!("{name}.example"),
            ..Default::default()
        };
        self.servers(caller).register_server(request).await.unwrap().into_inner().server.unwrap()
    }

    pub async fn bind(
        &self,
        caller: &Caller,
        server: &str,
        credential: &str,
    ) -> Result<proto::Server, Failure> {
        let request = proto::BindCredentialRequest {
            server_id: server.to_owned(),
            credential_id: credential.to_owned(),
            skip_test: true,
            ..Default::default()
        };
        answer(self.servers(caller).bind_credential(request).await).map(|bound| bound.server.unwrap())
    }

    /// A managed credential of the tenant (none: the platform's) with one version in that state.
    pub async fn managed(
        &self,
        tenant: Option<&TenantId>,
        states: &[proto::VersionState],
    ) -> (String, proto::CredentialVersion) {
        let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
        let credential_id = keywright_domain::ids::CredentialId::random().unwrap().to_string();
        let new = proto::CreateManagedCredentialRequest {
            credential_id: credential_id.clone(),
            tenant_id: tenant.map(ToString::to_string).unwrap_or_default(),
            name: "access".to_owned(),
            owner: keywright_domain::ids::AccessId::random().unwrap().to_string(),
        };
        self.keys(&lifecycle).create_managed_credential(new).await.unwrap();
        let generate = proto::GenerateVersionRequest {
            credential_id: credential_id.clone(),
            version_id: keywright_domain::ids::VersionId::random().unwrap().to_string(),
            algorithm: "ssh-ed25519".to_owned(),
        };
        let mut version =
            self.keys(&lifecycle).generate_version(generate).await.unwrap().into_inner().version.unwrap();
        for state in states {
            version = self.move_to(&credential_id, &version.id, *state, false, false).await.unwrap();
        }
        (credential_id, version)
    }

    pub async fn move_to(
        &self,
        credential: &str,
        version: &str,
        state: proto::VersionState,
        destroy_material: bool,
        compromised: bool,
    ) -> Result<proto::CredentialVersion, Failure> {
        let request = proto::SetVersionStateRequest {
            credential_id: credential.to_owned(),
            version_id: version.to_owned(),
            state: state.into(),
            destroy_material,
            compromised,
        };
        let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
        answer(self.keys(&lifecycle).set_version_state(request).await).map(|moved| moved.version.unwrap())
    }

    pub async fn suspend(&self, tenant: &TenantId) {
        let request = proto::SuspendTenantRequest { tenant_id: tenant.to_string(), ..Default::default() };
        self.tenants(&operator()).suspend_tenant(request).await.unwrap();
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> i64 {
        crate::store::testing::count(&self.db, table).await
    }
}

/// A person of that role, whose request the service carries.
pub fn person(role: Role, tenant: Option<&TenantId>, acting: ServiceName) -> Caller {
    Caller {
        principal: Principal::person(&PrincipalId::random().unwrap(), role, tenant.cloned()),
        acting: Some(acting),
        bearer: Some(Arc::new(Secret::from_text("bearer".to_owned()))),
        ..Caller::background(acting, "request")
    }
}

pub fn owner(tenant: &TenantId) -> Caller {
    person(Role::TenantOwner, Some(tenant), ServiceName::Gateway)
}

/// An internal service that calls this one directly, with these permissions in the tenant (none: the platform).
pub fn program(tenant: Option<&TenantId>, permissions: &[&str]) -> Caller {
    let mut caller = person(Role::InternalService, tenant, ServiceName::Gateway);
    caller.acting = None;
    caller.principal.kind = PrincipalKind::Service;
    caller.principal.permissions = permissions.iter().map(ToString::to_string).collect();
    caller
}

pub fn operator() -> Caller {
    person(Role::Operator, None, ServiceName::Gateway)
}

/// The message, or the failure as a client reads it.
pub fn answer<T>(response: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Failure> {
    response.map(tonic::Response::into_inner).map_err(|status| Failure::from_status(&status))
}

/// The reason of a refusal.
pub fn reason<T: std::fmt::Debug>(response: Result<tonic::Response<T>, tonic::Status>) -> Reason {
    answer(response).unwrap_err().reason
}

/// The routes without the stack: what the door would have verified is put on the request.
pub fn peer(routes: Routes, caller: Option<Caller>) -> Peer {
    let routes = routes.prepare();
    Peer::new(tower::service_fn(move |mut request: http::Request<tonic::body::Body>| {
        let routes = routes.clone();
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        async move { Ok(routes.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    }))
}
