//! Logins signed for agents and internal services: the host's proof, who may ask, where a key is good.

use super::world::{World, answer, operator, owner, person, program, reason};
use keywright_domain::caller::{Caller, Role, ServiceName};
use keywright_domain::ids::TenantId;
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey, SignatureAlgorithm, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_proto::credential::VersionState::{Active, Revoked};
use std::time::Duration;

const SESSION: [u8; 32] = [3; 32];

/// A tenant's server whose host key the test has, with a saved credential bound to it.
struct Scene {
    world: World,
    tenant: TenantId,
    owner: Caller,
    host: PrivateKey,
    server: String,
    saved: proto::SshCredential,
}

impl Scene {
    async fn on(world: World, host: PrivateKey) -> Self {
        let tenant = world.tenant().await;
        let owner = owner(&tenant);
        let saved = world.saved(&owner).await;
        let server = pinned(&world, &owner, "web", &host).await;
        world.bind(&owner, &server, &saved.id).await.unwrap();
        Self { world, tenant, owner, host, server, saved }
    }

    async fn new() -> Self {
        Self::on(World::new().await, PrivateKey::generate(GenerateSpec::Ed25519).unwrap()).await
    }

    fn login(&self) -> proto::SignLoginRequest {
        proven(&self.saved.id, &self.server, &self.host, self.host.algorithm().default_signature())
    }

    async fn sign(&self, caller: &Caller, login: proto::SignLoginRequest) -> Result<Vec<u8>, Reason> {
        let signed = answer(self.world.signing(caller).sign_login(login).await);
        signed.map(|signed| signed.signature).map_err(|failure| failure.reason)
    }

    async fn list(&self, caller: &Caller) -> Vec<proto::SigningKey> {
        let request = proto::ListSigningKeysRequest::default();
        self.world.signing(caller).list_signing_keys(request).await.unwrap().into_inner().items
    }
}

async fn pinned(world: &World, owner: &Caller, name: &str, host: &PrivateKey) -> String {
    let request = proto::RegisterServerRequest {
        name: name.to_owned(),
        host: format!("{name}.example"),
        host_keys: vec![host.public().openssh()],
        ..Default::default()
    };
    world.servers(owner).register_server(request).await.unwrap().into_inner().server.unwrap().id
}

fn proven(
    credential: &str,
    server: &str,
    host: &PrivateKey,
    algorithm: SignatureAlgorithm,
) -> proto::SignLoginRequest {
    proto::SignLoginRequest {
        credential_id: credential.to_owned(),
        server_id: server.to_owned(),
        session_id: SESSION.to_vec(),
        username: "deploy".to_owned(),
        algorithm: "ssh-ed25519".to_owned(),
        host_key: host.public().blob().to_vec(),
        host_signature: host.sign(algorithm, &SESSION).unwrap(),
        host_bound: false,
    }
}

fn request_of(public_key: &str) -> (PublicKey, UserauthRequest) {
    let key = PublicKey::parse_openssh(public_key).unwrap();
    let user = "deploy".to_owned();
    (key.clone(), UserauthRequest::new(SESSION.to_vec(), user, SignatureAlgorithm::Ed25519, key).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_the_same() {
    callers(
        Scene::on(World::on_postgres().await, PrivateKey::generate(GenerateSpec::EcdsaP256).unwrap()).await,
    )
    .await;
    accesses(
        Scene::on(World::on_postgres().await, PrivateKey::generate(GenerateSpec::Ed25519).unwrap()).await,
    )
    .await;
}

#[tokio::test]
async fn owners_admins_and_permitted_services_of_the_tenant_have_logins_signed() {
    callers(Scene::new().await).await;
}

async fn callers(scene: Scene) {
    let gateway = ServiceName::Gateway;
    let admin = person(Role::TenantAdmin, Some(&scene.tenant), gateway);
    let service = program(Some(&scene.tenant), &["credential.sign"]);
    for caller in [&scene.owner, &admin, &service] {
        let signature = scene.sign(caller, scene.login()).await.unwrap();
        let (key, request) = request_of(&scene.saved.public_key);
        key.verify(&request.signed_bytes(), &signature).unwrap();
        let bound = proto::SignLoginRequest { host_bound: true, ..scene.login() };
        let signature = scene.sign(caller, bound).await.unwrap();
        key.verify(&request.bound_to(scene.host.public().clone()).signed_bytes(), &signature).unwrap();
        let listed = scene.list(caller).await;
        assert_eq!((listed.len(), &listed[0].credential_id), (1, &scene.saved.id));
        let server = &listed[0].servers[0];
        assert_eq!(
            (server.username.as_str(), &server.host_keys),
            ("deploy", &vec![scene.host.public().openssh()])
        );
    }
    let other = scene.world.tenant().await;
    for (caller, expected) in [
        (operator(), Reason::PermissionDenied),
        (person(Role::TenantMember, Some(&scene.tenant), gateway), Reason::PermissionDenied),
        (person(Role::Auditor, None, gateway), Reason::PermissionDenied),
        (program(Some(&scene.tenant), &["credential.resolve"]), Reason::PermissionDenied),
        (program(None, &["credential.sign"]), Reason::PermissionDenied),
        (owner(&other), Reason::CredentialNotFound),
        (program(Some(&other), &["credential.sign"]), Reason::CredentialNotFound),
    ] {
        assert_eq!(scene.sign(&caller, scene.login()).await, Err(expected));
    }
    assert!(scene.list(&owner(&other)).await.is_empty());
    for caller in [operator(), program(None, &["credential.sign"])] {
        let request = proto::ListSigningKeysRequest::default();
        assert_eq!(
            reason(scene.world.signing(&caller).list_signing_keys(request).await),
            Reason::PermissionDenied
        );
    }
    let intents = scene.world.log.intents.lock().unwrap().clone();
    let signed = intents.iter().filter(|intent| intent.details.contains_key("username"));
    assert_eq!(signed.count(), 6, "one intent a signature");
}

#[tokio::test]
async fn a_session_of_another_host_is_not_signed_for() {
    let scene = Scene::new().await;
    let other = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    let ed = SignatureAlgorithm::Ed25519;
    let elsewhere = proven(&scene.saved.id, &scene.server, &other, ed);
    assert_eq!(scene.sign(&scene.owner, elsewhere.clone()).await, Err(Reason::HostKeyMismatch));
    let lied = proto::SignLoginRequest { host_key: scene.host.public().blob().to_vec(), ..elsewhere };
    assert_eq!(scene.sign(&scene.owner, lied).await, Err(Reason::ValidationFailed));
    let replayed = proto::SignLoginRequest { session_id: vec![4; 32], ..scene.login() };
    assert_eq!(scene.sign(&scene.owner, replayed).await, Err(Reason::ValidationFailed));
    for broken in [Vec::new(), vec![0; 4], scene.host.public().blob()[1..].to_vec(), vec![255; 70_000]] {
        let key = proto::SignLoginRequest { host_key: broken.clone(), ..scene.login() };
        assert_eq!(scene.sign(&scene.owner, key).await, Err(Reason::ValidationFailed));
        let signature = proto::SignLoginRequest { host_signature: broken, ..scene.login() };
        assert_eq!(scene.sign(&scene.owner, signature).await, Err(Reason::ValidationFailed));
    }
    let mut certificate = Vec::new();
    for part in ["ssh-ed25519-cert-v01@openssh.com", "nonce"] {
        certificate.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        certificate.extend(part.as_bytes());
    }
    certificate.extend(scene.host.public().blob());
    let certified = proto::SignLoginRequest { host_key: certificate, ..scene.login() };
    assert_eq!(scene.sign(&scene.owner, certified).await, Err(Reason::HostKeyMismatch));
    let bare = scene.world.server(&scene.owner, "bare").await;
    scene.world.bind(&scene.owner, &bare.id, &scene.saved.id).await.unwrap();
    let unpinned = proto::SignLoginRequest { server_id: bare.id, ..scene.login() };
    assert_eq!(scene.sign(&scene.owner, unpinned).await, Err(Reason::HostKeyUnpinned));
    let denied = scene.world.log.intents.lock().unwrap().clone();
    assert!(denied.iter().all(|intent| !intent.details.contains_key("username")), "nothing was signed");
    let told = denied.iter().filter(|intent| intent.details.contains_key("hostKey"));
    assert!(told.count() >= 2, "a false proof is in the log");
}

#[tokio::test]
async fn a_host_proves_itself_with_rsa_by_sha2_only() {
    let host = PrivateKey::generate(GenerateSpec::Rsa { bits: 2048 }).unwrap();
    let scene = Scene::on(World::new().await, host).await;
    for algorithm in [SignatureAlgorithm::RsaSha256, SignatureAlgorithm::RsaSha512] {
        let login = proven(&scene.saved.id, &scene.server, &scene.host, algorithm);
        assert!(scene.sign(&scene.owner, login).await.is_ok());
    }
    let mut old = proven(&scene.saved.id, &scene.server, &scene.host, SignatureAlgorithm::RsaSha256);
    let name = b"rsa-sha2-256";
    let raw = old.host_signature.split_off(4 + name.len());
    old.host_signature = [&7u32.to_be_bytes()[..], b"ssh-rsa", &raw].concat();
    assert_eq!(scene.sign(&scene.owner, old).await, Err(Reason::ValidationFailed));
}

#[tokio::test]
async fn a_key_is_good_where_it_is_bound_for_the_user_of_the_binding() {
    let scene = Scene::new().await;
    let root = proto::SignLoginRequest { username: "root".to_owned(), ..scene.login() };
    assert_eq!(scene.sign(&scene.owner, root).await, Err(Reason::ValidationFailed));
    let unbound = pinned(&scene.world, &scene.owner, "db", &scene.host).await;
    let crossed = proto::SignLoginRequest { server_id: unbound, ..scene.login() };
    assert_eq!(scene.sign(&scene.owner, crossed).await, Err(Reason::ValidationFailed));
    for algorithm in ["ssh-rsa", "rsa-sha2-512", ""] {
        let wrong = proto::SignLoginRequest { algorithm: algorithm.to_owned(), ..scene.login() };
        assert_eq!(scene.sign(&scene.owner, wrong).await, Err(Reason::ValidationFailed), "{algorithm}");
    }
    let unbind = proto::UnbindCredentialRequest { server_id: scene.server.clone() };
    scene.world.servers(&scene.owner).unbind_credential(unbind).await.unwrap();
    assert_eq!(scene.sign(&scene.owner, scene.login()).await, Err(Reason::ValidationFailed));
    assert!(scene.list(&scene.owner).await.is_empty());
    scene.world.bind(&scene.owner, &scene.server, &scene.saved.id).await.unwrap();
    let stop = proto::DeactivateServerRequest { server_id: scene.server.clone() };
    scene.world.servers(&scene.owner).deactivate_server(stop).await.unwrap();
    assert_eq!(scene.sign(&scene.owner, scene.login()).await, Err(Reason::ServerInactive));
    assert!(scene.list(&scene.owner).await.is_empty());
}

#[tokio::test]
async fn an_access_key_signs_on_the_hosts_of_its_access_until_it_is_revoked() {
    accesses(Scene::new().await).await;
}

async fn accesses(scene: Scene) {
    let world = &scene.world;
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    let (managed, version) = world.managed(Some(&scene.tenant), &[Active]).await;
    let get = proto::GetManagedCredentialRequest { credential_id: managed.clone() };
    let access = world.keys(&lifecycle).get_managed_credential(get).await.unwrap().into_inner().owner;
    let login = proven(&managed, &scene.server, &scene.host, SignatureAlgorithm::Ed25519);
    assert_eq!(scene.sign(&scene.owner, login.clone()).await, Err(Reason::ValidationFailed), "no host yet");
    let hold = proto::AddReferenceRequest {
        server_id: scene.server.clone(),
        owner: access,
        purpose: "ssh-access".to_owned(),
        ..Default::default()
    };
    world.directory(&lifecycle).add_reference(hold).await.unwrap();
    let signature = scene.sign(&scene.owner, login.clone()).await.unwrap();
    let (key, request) = request_of(&version.public_key);
    key.verify(&request.signed_bytes(), &signature).unwrap();
    let ids: Vec<String> = scene.list(&scene.owner).await.into_iter().map(|key| key.credential_id).collect();
    assert!(ids.contains(&managed) && ids.contains(&scene.saved.id));
    assert_eq!(scene.sign(&operator(), login.clone()).await, Err(Reason::PermissionDenied));
    world.move_to(&managed, &version.id, Revoked, true, true).await.unwrap();
    assert_eq!(scene.sign(&scene.owner, login).await, Err(Reason::VersionNotFound));
    assert_eq!(scene.list(&scene.owner).await.len(), 1);
}

#[tokio::test]
async fn a_program_has_a_bounded_number_signed_in_a_minute_and_nothing_unlogged() {
    let scene = Scene::new().await;
    let service = program(Some(&scene.tenant), &["credential.sign"]);
    // Refused before any key is touched, and still spent.
    let cheap = proto::SignLoginRequest { algorithm: String::new(), ..scene.login() };
    for _ in 0..120 {
        assert_eq!(scene.sign(&service, cheap.clone()).await, Err(Reason::ValidationFailed));
    }
    assert_eq!(scene.sign(&service, scene.login()).await, Err(Reason::RateLimited));
    assert!(scene.sign(&scene.owner, scene.login()).await.is_ok(), "another principal's budget is its own");
    scene.world.pass(Duration::from_secs(1));
    assert!(scene.sign(&service, scene.login()).await.is_ok());
    scene.world.log.down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(scene.sign(&scene.owner, scene.login()).await, Err(Reason::AuditUnavailable));
}

#[tokio::test]
async fn nothing_is_signed_or_held_for_a_suspended_tenant() {
    let scene = Scene::new().await;
    scene.world.suspend(&scene.tenant).await;
    assert_eq!(scene.sign(&scene.owner, scene.login()).await, Err(Reason::TenantSuspended));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_signature_and_a_revocation_at_once_the_revocation_wins_or_comes_after() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    for _ in 0..10 {
        let (managed, version) = world.managed(Some(&scene.tenant), &[Active]).await;
        let get = proto::GetManagedCredentialRequest { credential_id: managed.clone() };
        let owner = world.keys(&lifecycle).get_managed_credential(get).await.unwrap().into_inner().owner;
        let server_id = scene.server.clone();
        let purpose = "ssh-access".to_owned();
        let hold = proto::AddReferenceRequest { server_id, owner, purpose, ..Default::default() };
        world.directory(&lifecycle).add_reference(hold).await.unwrap();
        let login = proven(&managed, &scene.server, &scene.host, SignatureAlgorithm::Ed25519);
        let (signed, revoked) = tokio::join!(
            scene.sign(&scene.owner, login.clone()),
            world.move_to(&managed, &version.id, Revoked, true, false)
        );
        revoked.unwrap();
        // Whether it won is chance; that it is an answer of the contract and nothing after it is not.
        if let Err(refused) = signed {
            assert!(matches!(refused, Reason::VersionNotFound | Reason::SecretStoreUnavailable), "{refused}");
        }
        assert_eq!(scene.sign(&scene.owner, login).await, Err(Reason::VersionNotFound));
    }
}
