//! A probe with its doubles, and words for what the tests ask of it.

use crate::doubles::{Log, Notices, Store};
use keywright_connectivity_probe::{
    MIGRATIONS, Parts, SIGNATURE_WAIT, Sshfp, SshfpResolver, TargetRules, build,
};
use keywright_domain::caller::{Caller, Principal, Role, ServiceName};
use keywright_domain::clock::Clock;
use keywright_domain::ids::{CredentialId, PrincipalId, ServerId, TenantId};
use keywright_domain::key::PublicKey;
use keywright_domain::secret::Secret;
use keywright_kit::{KeyPair, TestHost, eventually};
use keywright_proto::audit::Outcome;
use keywright_proto::credential as store;
use keywright_proto::credential::custody_service_server::CustodyServiceServer;
use keywright_proto::credential::directory_service_server::DirectoryServiceServer;
use keywright_proto::identity::exchange_service_server::ExchangeServiceServer;
use keywright_proto::lifecycle::notification_intake_service_server::NotificationIntakeServiceServer;
use keywright_proto::probe as proto;
use keywright_proto::probe::connectivity_test_service_client::ConnectivityTestServiceClient;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_runtime::idempotency::Idempotency;
use keywright_runtime::peer::{Peer, Peers};
use keywright_runtime::token::Signer;
use keywright_runtime::{Body, Policy, keys};
use keywright_storage::{Db, Source};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tower::ServiceExt;

pub const LIMIT: Duration = Duration::from_secs(20);

pub struct World {
    pub store: Store,
    pub log: Log,
    pub notices: Notices,
    pub db: Db,
    pub tenant: TenantId,
    probe: Routes,
    outbound: Outbound,
    source: Source,
    stop: CancellationToken,
    _stop: DropGuard,
    dir: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::Directory(dir.path().into());
        Self::on(source, dir, no_sshfp()).await
    }

    /// With a name server to be asked about host keys.
    pub async fn asking(sshfp: Sshfp) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::Directory(dir.path().into());
        Self::on(source, dir, sshfp).await
    }

    pub async fn on_postgres(url: &str) -> Self {
        Self::on(Source::Postgres(url.to_owned()), tempfile::tempdir().unwrap(), no_sshfp()).await
    }

    async fn on(source: Source, dir: TempDir, sshfp: Sshfp) -> Self {
        keys::create_all(dir.path()).unwrap();
        let own = ServiceName::ConnectivityProbe;
        let signer = Signer::new(keys::signing_key(dir.path(), own.as_str()).unwrap(), Clock::System);
        let peers = Peers::new();
        let outbound = Outbound::new(own, peers.clone(), signer);
        let (store, log) = (Store::new(keys::public_keys(dir.path()).unwrap()), Log::default());
        let routes = Routes::new(DirectoryServiceServer::new(store.clone()))
            .add_service(CustodyServiceServer::new(store.clone()))
            .add_service(ExchangeServiceServer::new(store.clone()));
        peers.set(ServiceName::CredentialStore, peer(routes, None));
        let intake =
            keywright_proto::audit::audit_intake_service_server::AuditIntakeServiceServer::new(log.clone());
        peers.set(ServiceName::Audit, peer(Routes::new(intake), None));
        let notices = Notices::default();
        let told = NotificationIntakeServiceServer::new(notices.clone());
        peers.set(ServiceName::KeyLifecycle, peer(Routes::new(told), None));
        let stop = CancellationToken::new();
        let (db, probe) = assemble(&source, &outbound, &stop, SIGNATURE_WAIT, sshfp).await;
        let tenant = TenantId::random().unwrap();
        let guard = stop.clone().drop_guard();
        Self { store, log, notices, db, tenant, probe, outbound, source, stop, _stop: guard, dir }
    }

    /// Another process of the probe on the same database; it waits so long for a signature.
    pub async fn replica(&self, signature_wait: Duration) -> Replica {
        Replica(assemble(&self.source, &self.outbound, &self.stop, signature_wait, no_sshfp()).await.1)
    }

    /// Whether a file of the database holds this text.
    pub fn is_stored(&self, text: &str) -> bool {
        let holds = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let files = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).any(|path| holds(std::fs::read(path).unwrap()))
    }

    /// In the file of the database.
    pub async fn run_sql(&self, text: &str) {
        let mut tx = self.db.begin_internal("a test's own").await.unwrap();
        let statement = sqlx::AssertSqlSafe(text.to_owned());
        sqlx::query(statement).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The probe, as `caller` reaches it behind the stack.
    pub fn probe(&self, caller: Caller) -> Peer {
        peer(self.probe.clone(), Some(caller))
    }

    pub fn owner(&self) -> Caller {
        person("owner", Role::TenantOwner, Some(self.tenant.clone()))
    }

    /// Registers the host in the tenant, with these pins.
    pub fn register(&self, host: &TestHost, pins: &[String]) -> store::Server {
        self.register_at(host.address(), host.port(), pins)
    }

    pub fn register_at(&self, address: &str, port: u16, pins: &[String]) -> store::Server {
        let pin = |line: &String| store::HostKey { public_key: line.clone(), ..store::HostKey::default() };
        let server = store::Server {
            id: ServerId::random().unwrap().to_string(),
            tenant_id: self.tenant.to_string(),
            name: "web".to_owned(),
            host: address.to_owned(),
            port: port.into(),
            lifecycle_status: store::ServerLifecycle::Active.into(),
            host_keys: pins.iter().map(pin).collect(),
            ..store::Server::default()
        };
        self.store.put_server(server.clone());
        server
    }

    /// Saves the key in the tenant.
    pub fn save(&self, key: &KeyPair, username: &str) -> store::SshCredential {
        let credential = store::SshCredential {
            id: CredentialId::random().unwrap().to_string(),
            tenant_id: self.tenant.to_string(),
            kind: store::CredentialKind::Saved.into(),
            username: username.to_owned(),
            public_key: key.public_line(),
            ..store::SshCredential::default()
        };
        self.store.put_credential(credential.clone(), &key.private_text());
        credential
    }

    /// A test as the tenant's owner.
    pub async fn test(
        &self,
        request: proto::CreateConnectivityTestRequest,
    ) -> Result<proto::ConnectivityTest, Failure> {
        let mut client = ConnectivityTestServiceClient::new(self.probe(self.owner()));
        Ok(client.create_connectivity_test(request).await?.into_inner().test.unwrap())
    }

    /// A test with a one-time key, as the tenant's owner.
    pub async fn test_once(
        &self,
        server: &store::Server,
        key: &KeyPair,
        username: &str,
    ) -> proto::ConnectivityTest {
        let request = proto::CreateConnectivityTestRequest {
            server_id: server.id.clone(),
            one_time: Some(one_time(key, username)),
            ..Default::default()
        };
        self.test(request).await.unwrap()
    }

    pub async fn list(
        &self,
        server: &store::Server,
        size: i32,
        token: &str,
    ) -> proto::ListConnectivityTestsResponse {
        let request = proto::ListConnectivityTestsRequest {
            server_id: server.id.clone(),
            page_size: size,
            page_token: token.to_owned(),
        };
        let mut client = ConnectivityTestServiceClient::new(self.probe(self.owner()));
        client.list_connectivity_tests(request).await.unwrap().into_inner()
    }

    /// The outcome of the last intent, once it has reached the log.
    pub async fn last_outcome(&self) -> Outcome {
        let event = self.log.intents().last().unwrap().event_id.clone();
        assert!(eventually(LIMIT, async || self.log.outcome_of(&event).is_some()).await, "no outcome");
        self.log.outcome_of(&event).unwrap()
    }
}

fn no_sshfp() -> Sshfp {
    Sshfp::new(SshfpResolver::Off, "").unwrap()
}

async fn assemble(
    source: &Source,
    outbound: &Outbound,
    stop: &CancellationToken,
    signature_wait: Duration,
    sshfp: Sshfp,
) -> (Db, Routes) {
    let audit = Audit::new(outbound.clone());
    let db = Db::open(source, "probe", &MIGRATIONS, Clock::System).await.unwrap();
    let assembled = build(Parts {
        db: db.clone(),
        guard: Guard::new(Policy::shipped().unwrap(), audit.clone()),
        audit,
        outbound: outbound.clone(),
        idempotency: Idempotency::new(&[7; 32]),
        clock: Clock::System,
        rules: Arc::new(TargetRules { allow_loopback: true, ..TargetRules::default() }),
        sshfp,
        history: Duration::from_secs(86_400),
        signature_wait,
        stop: stop.clone(),
    })
    .unwrap();
    for task in assembled.tasks {
        tokio::spawn(task);
    }
    (db, assembled.routes)
}

/// A further process of the probe.
pub struct Replica(Routes);

impl Replica {
    pub fn probe(&self, caller: Caller) -> Peer {
        peer(self.0.clone(), Some(caller))
    }
}

fn peer(routes: Routes, caller: Option<Caller>) -> Peer {
    let routes = routes.prepare();
    Peer::new(tower::service_fn(move |mut request: http::Request<Body>| {
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        let routes = routes.clone();
        async move { Ok(routes.oneshot(request).await.unwrap()) }
    }))
}

/// Somebody with a token `token`.
pub fn person(token: &str, role: Role, tenant: Option<TenantId>) -> Caller {
    Caller {
        principal: Principal::person(&PrincipalId::random().unwrap(), role, tenant),
        acting: Some(ServiceName::Gateway),
        request_id: "req_test".to_owned(),
        trace_id: String::new(),
        source_ip: "192.0.2.1".to_owned(),
        user_agent: "test".to_owned(),
        client_certificate: String::new(),
        vouched_at: keywright_domain::clock::Instant::from_micros(0),
        bearer: Some(Arc::new(Secret::from_text(token.to_owned()))),
    }
}

/// A host with the account `alice`, in whose authorized_keys stands `line`.
pub fn with_alice(host: TestHost, line: &str) -> TestHost {
    host.add_user("alice");
    host.write_authorized_keys("alice", format!("{line}\n"));
    host
}

pub fn one_time(key: &KeyPair, username: &str) -> proto::OneTimeCredential {
    proto::OneTimeCredential {
        private_key: key.private_text(),
        passphrase: String::new(),
        username: username.to_owned(),
    }
}

pub fn fingerprints(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| PublicKey::parse_openssh(line).unwrap().fingerprint().to_string()).collect()
}

pub fn check<'a>(test: &'a proto::ConnectivityTest, name: &str) -> &'a proto::ConnectivityCheck {
    test.checks.iter().find(|check| check.name == name).unwrap()
}

/// Everything before `name` passed, `name` failed with `code`, everything after it was skipped.
pub fn assert_failed_at(test: &proto::ConnectivityTest, name: &str, code: &str) {
    use proto::CheckStatus::{Failed, Passed, Skipped};
    let at = test.checks.iter().position(|check| check.name == name).unwrap();
    for (n, check) in test.checks.iter().enumerate() {
        let expected = match n.cmp(&at) {
            std::cmp::Ordering::Less => Passed,
            std::cmp::Ordering::Equal => Failed,
            std::cmp::Ordering::Greater => Skipped,
        };
        assert_eq!(check.status(), expected, "{check:?}");
    }
    let failed = &test.checks[at];
    assert_eq!(failed.code, code, "{failed:?}");
    assert!(failed.message.ends_with('.') && failed.remedy.ends_with('.'), "{failed:?}");
    let logged_in = at > 6;
    let status =
        if logged_in { proto::ConnectivityStatus::Degraded } else { proto::ConnectivityStatus::Unreachable };
    assert_eq!(test.status(), status);
}

pub fn assert_healthy(test: &proto::ConnectivityTest) {
    let names: Vec<&str> = test.checks.iter().map(|check| check.name.as_str()).collect();
    let order =
        ["key", "passphrase", "dns", "tcp", "handshake", "host-key", "authentication", "session", "runtime"];
    assert_eq!(names, order);
    for check in &test.checks {
        assert_eq!(check.status(), proto::CheckStatus::Passed, "{check:?}");
        assert!(check.code.is_empty() && !check.message.is_empty(), "{check:?}");
    }
    assert_eq!(test.status(), proto::ConnectivityStatus::Healthy);
}
