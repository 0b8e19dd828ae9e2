//! A key-lifecycle with a database of its own, and short ways to say what a test is about.

use super::fakes::{Exchange, Log, Prober};
use super::range::Range;
use super::vault::Vault;
use crate::adapters::bootstrap::Bootstrapper;
use crate::adapters::credential_store::CredentialStore;
use crate::adapters::hosts::{Hosts, SshHosts};
use crate::adapters::login::Login;
use crate::build::{Built, assemble};
use crate::drift::Watch;
use crate::key_use::Before;
use crate::krl::Lists;
use crate::model::Origin;
use crate::notify::Notifier;
use crate::schedule::Scheduler;
use crate::worker::Worker;
use crate::{Keyring, MIGRATIONS, Parts, Telling};
use keywright_domain::caller::{Caller, Principal, Role, ServiceName};
use keywright_domain::clock::Clock;
use keywright_domain::ids::{AccessId, CredentialId, PrincipalId, RotationId, ServerId, TenantId, TokenId};
use keywright_domain::key::{GenerateSpec, PrivateKey};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_proto::audit::audit_intake_service_server::AuditIntakeServiceServer;
use keywright_proto::audit::audit_service_server::AuditServiceServer;
use keywright_proto::credential as store;
use keywright_proto::credential::custody_service_server::CustodyServiceServer;
use keywright_proto::credential::directory_service_server::DirectoryServiceServer;
use keywright_proto::credential::release_service_server::ReleaseServiceServer;
use keywright_proto::credential::tenant_service_server::TenantServiceServer;
use keywright_proto::identity::exchange_service_server::ExchangeServiceServer;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::campaign_service_client::CampaignServiceClient;
use keywright_proto::lifecycle::freeze_service_client::FreezeServiceClient;
use keywright_proto::lifecycle::krl_service_client::KrlServiceClient;
use keywright_proto::lifecycle::management_service_client::ManagementServiceClient;
use keywright_proto::lifecycle::notification_intake_service_client::NotificationIntakeServiceClient;
use keywright_proto::lifecycle::notification_service_client::NotificationServiceClient;
use keywright_proto::lifecycle::offboarding_service_client::OffboardingServiceClient;
use keywright_proto::lifecycle::overview_service_client::OverviewServiceClient;
use keywright_proto::lifecycle::policy_service_client::PolicyServiceClient;
use keywright_proto::lifecycle::recovery_service_client::RecoveryServiceClient;
use keywright_proto::lifecycle::rotation_service_client::RotationServiceClient;
use keywright_proto::lifecycle::server_keys_service_client::ServerKeysServiceClient;
use keywright_proto::lifecycle::ssh_access_service_client::SshAccessServiceClient;
use keywright_proto::lifecycle::work_service_client::WorkServiceClient;
use keywright_proto::probe::proof_service_server::ProofServiceServer;
use keywright_runtime::Policy;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_runtime::idempotency::Idempotency;
use keywright_runtime::keys;
use keywright_runtime::peer::{Peer, Peers};
use keywright_runtime::token::Signer;
use keywright_ssh::{Dialer, TargetRules, Timeouts};
use keywright_storage::{Db, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt;

pub struct World {
    _dir: TempDir,
    pub db: Db,
    pub log: Log,
    pub vault: Vault,
    pub range: Range,
    pub worker: Worker,
    pub notifier: Notifier,
    pub lists: Lists,
    pub scheduler: Scheduler,
    pub watch: Watch,
    pub before: Before,
    pub tenant: TenantId,
    pub owner: Caller,
    micros: Arc<AtomicI64>,
    routes: Routes,
}

impl World {
    /// Over simulated hosts, with a clock that the test moves.
    pub async fn new() -> Self {
        let micros = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        Self::with(Clock::Manual(micros.clone()), micros, None).await
    }

    /// Over real hosts, on loopback.
    pub async fn real() -> Self {
        let rules = TargetRules { allow_loopback: true, ..TargetRules::default() };
        let dialer = Dialer::new(Arc::new(rules), Timeouts::default());
        Self::with(Clock::System, Arc::default(), Some(dialer)).await
    }

    async fn with(clock: Clock, micros: Arc<AtomicI64>, real: Option<Dialer>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::Directory(dir.path().into());
        let db = Db::open(&source, "lifecycle", &MIGRATIONS, clock.clone()).await.unwrap();
        let (log, vault, range) = (Log::default(), Vault::default(), Range::new(clock.clone()));
        let peers = Peers::new();
        let logs = Routes::new(AuditIntakeServiceServer::new(log.clone()))
            .add_service(AuditServiceServer::new(log.clone()));
        peers.set(ServiceName::Audit, peer(logs, None));
        let custody = Routes::new(CustodyServiceServer::new(vault.clone()))
            .add_service(DirectoryServiceServer::new(vault.clone()))
            .add_service(ReleaseServiceServer::new(vault.clone()))
            .add_service(TenantServiceServer::new(vault.clone()))
            .add_service(ExchangeServiceServer::new(Exchange));
        peers.set(ServiceName::CredentialStore, peer(custody, None));
        let prober =
            Prober { range: range.clone(), clock: clock.clone(), vault: vault.clone(), dialer: real.clone() };
        peers.set(ServiceName::ConnectivityProbe, peer(Routes::new(ProofServiceServer::new(prober)), None));
        keys::create_all(dir.path()).unwrap();
        let own = ServiceName::KeyLifecycle;
        let signer = Signer::new(keys::signing_key(dir.path(), own.as_str()).unwrap(), clock.clone());
        let outbound = Outbound::new(own, peers, signer);
        let audit = Audit::new(outbound.clone());
        let is_real = real.is_some();
        let none = || {
            let rules = TargetRules { allow_loopback: true, ..TargetRules::default() };
            Dialer::new(Arc::new(rules), Timeouts::default())
        };
        let dialer = real.unwrap_or_else(none);
        let parts = Parts {
            db: db.clone(),
            audit: audit.clone(),
            guard: Guard::new(Policy::shipped().unwrap(), audit),
            outbound: outbound.clone(),
            clock: clock.clone(),
            idempotency: Idempotency::new(&[7; 32]),
            dialer: dialer.clone(),
            telling: Telling {
                keyring: Keyring::new(keys::notification_key(dir.path()).unwrap()),
                mailer: None,
            },
            key_scan_interval: Duration::from_secs(6 * 3600),
            refusal_spacing: crate::refusals::SPACING,
            egress: Vec::new(),
            stop: CancellationToken::new(),
        };
        let directory = CredentialStore::new(outbound.clone());
        let login = Login { outbound, store: directory.clone(), dialer };
        let bootstrapper = Bootstrapper::new(login.clone(), directory, clock.clone());
        let hosts: Arc<dyn Hosts> =
            if is_real { Arc::new(SshHosts { login, clock }) } else { Arc::new(range.clone()) };
        let Built { routes, worker, notifier, lists, scheduler, watch, before } =
            assemble(&parts, hosts, bootstrapper).unwrap();
        let tenant = TenantId::random().unwrap();
        let owner = person(Role::TenantOwner, Some(&tenant));
        Self {
            _dir: dir,
            db,
            log,
            vault,
            range,
            worker,
            notifier,
            lists,
            scheduler,
            watch,
            before,
            tenant,
            owner,
            micros,
            routes,
        }
    }

    pub fn pass(&self, span: Duration) {
        self.micros.fetch_add(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// The clock is set back.
    pub fn go_back(&self, span: Duration) {
        self.micros.fetch_sub(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// A managed and pinned server of the tenant.
    pub fn server(&self) -> String {
        let id = ServerId::random().unwrap().to_string();
        let host_key = PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().openssh();
        let server = store::Server {
            id: id.clone(),
            tenant_id: self.tenant.to_string(),
            name: "web".to_owned(),
            host: "192.0.2.7".to_owned(),
            port: 2222,
            lifecycle_status: store::ServerLifecycle::Active.into(),
            host_keys: vec![store::HostKey { public_key: host_key, ..Default::default() }],
            management_key_id: CredentialId::random().unwrap().to_string(),
            management_username: "root".to_owned(),
            ..Default::default()
        };
        self.vault.state.lock().unwrap().servers.insert(id.clone(), server);
        id
    }

    pub fn accesses(&self, caller: &Caller) -> SshAccessServiceClient<Peer> {
        SshAccessServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn rotations(&self, caller: &Caller) -> RotationServiceClient<Peer> {
        RotationServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn server_keys(&self, caller: &Caller) -> ServerKeysServiceClient<Peer> {
        ServerKeysServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn management(&self, caller: &Caller) -> ManagementServiceClient<Peer> {
        ManagementServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn campaigns(&self, caller: &Caller) -> CampaignServiceClient<Peer> {
        CampaignServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn overviews(&self, caller: &Caller) -> OverviewServiceClient<Peer> {
        OverviewServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn freezes(&self, caller: &Caller) -> FreezeServiceClient<Peer> {
        FreezeServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn policies(&self, caller: &Caller) -> PolicyServiceClient<Peer> {
        PolicyServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn offboarding(&self, caller: &Caller) -> OffboardingServiceClient<Peer> {
        OffboardingServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn recoveries(&self, caller: &Caller) -> RecoveryServiceClient<Peer> {
        RecoveryServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn krls(&self, caller: &Caller) -> KrlServiceClient<Peer> {
        KrlServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn notifications(&self, caller: &Caller) -> NotificationServiceClient<Peer> {
        NotificationServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn intake(&self, caller: &Caller) -> NotificationIntakeServiceClient<Peer> {
        NotificationIntakeServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub fn works(&self) -> WorkServiceClient<Peer> {
        WorkServiceClient::new(peer(
            self.routes.clone(),
            Some(Caller::background(ServiceName::CredentialStore, "")),
        ))
    }

    pub fn provisioning(&self, servers: &[String]) -> proto::ProvisionSshAccessRequest {
        let tenant_id = self.tenant.to_string();
        proto::ProvisionSshAccessRequest { tenant_id, server_ids: servers.to_vec(), ..Default::default() }
    }

    /// Provisioned and driven to its end.
    pub async fn access(&self, servers: &[String]) -> proto::SshAccess {
        let begun = answer(self.accesses(&operator()).provision_ssh_access(self.provisioning(servers)).await);
        let id = begun.unwrap().access.unwrap().id;
        self.settle().await;
        self.view(&id).await
    }

    pub async fn view(&self, id: &str) -> proto::SshAccess {
        let asked =
            proto::GetSshAccessRequest { tenant_id: self.tenant.to_string(), access_id: id.to_owned() };
        answer(self.accesses(&self.owner).get_ssh_access(asked).await).unwrap().access.unwrap()
    }

    pub fn rotate(&self, access: &str) -> proto::RotateSshKeyRequest {
        proto::RotateSshKeyRequest {
            tenant_id: self.tenant.to_string(),
            access_id: access.to_owned(),
            confirmation: Some(confirm(access)),
            ..Default::default()
        }
    }

    pub fn revoke(&self, access: &str) -> proto::RevokeSshAccessRequest {
        proto::RevokeSshAccessRequest {
            tenant_id: self.tenant.to_string(),
            access_id: access.to_owned(),
            confirmation: Some(confirm(access)),
            ..Default::default()
        }
    }

    pub fn regenerate(&self, access: &str) -> proto::RegenerateSshKeyRequest {
        proto::RegenerateSshKeyRequest {
            tenant_id: self.tenant.to_string(),
            access_id: access.to_owned(),
            confirmation: Some(confirm(access)),
            ..Default::default()
        }
    }

    pub fn download(&self, access: &str) -> proto::DownloadSshKeyRequest {
        proto::DownloadSshKeyRequest {
            tenant_id: self.tenant.to_string(),
            access_id: access.to_owned(),
            confirmation: Some(confirm(access)),
            ..Default::default()
        }
    }

    pub async fn start(&self, access: &str) -> proto::Rotation {
        answer(self.accesses(&self.owner).rotate_ssh_key(self.rotate(access)).await)
            .unwrap()
            .rotation
            .unwrap()
    }

    /// As a schedule or a campaign does.
    pub async fn rotate_by_itself(&self, access: &AccessId, origin: &Origin) -> Result<RotationId, Failure> {
        self.scheduler.rotate.start_automatic(access, None, origin).await
    }

    pub async fn rotation(&self, id: &str) -> proto::Rotation {
        let asked = proto::GetRotationRequest { rotation_id: id.to_owned() };
        answer(self.rotations(&self.owner).get_rotation(asked).await).unwrap().rotation.unwrap()
    }

    pub async fn revocation(&self, id: &str) -> proto::Revocation {
        let asked = proto::GetRevocationRequest { revocation_id: id.to_owned() };
        answer(self.rotations(&self.owner).get_revocation(asked).await).unwrap().revocation.unwrap()
    }

    /// Drives what is due now, and what that makes due, without moving the clock.
    pub async fn settle(&self) {
        self.worker.settle().await;
    }

    /// How far ahead the turns at the server are taken: nothing where nobody offered it a key lately.
    pub async fn turns_ahead(&self, server: &str) -> Duration {
        let mut reader = crate::store::reader(&self.db).await.unwrap();
        let server = ServerId::parse(server).unwrap();
        let next = crate::store::offer_turn::find(&mut reader, &server).await.unwrap();
        drop(reader);
        let now = self.db.now().await.unwrap();
        let ahead = next.map_or(0, |next| next.micros() - now.micros());
        Duration::from_micros(u64::try_from(ahead).unwrap_or(0))
    }

    /// The same over `span`, in steps of a second.
    pub async fn settle_for(&self, seconds: u64) {
        for _ in 0..seconds {
            self.settle().await;
            self.pass(Duration::from_secs(1));
        }
        self.settle().await;
    }
}

pub fn confirm(access: &str) -> proto::AccessConfirmation {
    proto::AccessConfirmation { access_id: access.to_owned() }
}

pub fn person(role: Role, tenant: Option<&TenantId>) -> Caller {
    let mut principal = Principal::person(&PrincipalId::random().unwrap(), role, tenant.cloned());
    principal.token = Some(TokenId::random().unwrap());
    Caller {
        principal,
        acting: Some(ServiceName::Gateway),
        request_id: "req".to_owned(),
        trace_id: String::new(),
        source_ip: String::new(),
        user_agent: String::new(),
        client_certificate: String::new(),
        vouched_at: keywright_domain::clock::Instant::from_micros(0),
        bearer: Some(Arc::new(Secret::from_text("token".to_owned()))),
    }
}

pub fn operator() -> Caller {
    person(Role::Operator, None)
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
fn peer(routes: Routes, caller: Option<Caller>) -> Peer {
    let routes = routes.prepare();
    Peer::new(tower::service_fn(move |mut request: http::Request<tonic::body::Body>| {
        let routes = routes.clone();
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        async move { Ok(routes.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    }))
}
