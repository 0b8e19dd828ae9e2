//! Internal services: keys handed out where a tenant allowed it, logins signed, references; in Rust and in Python.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keywright_client::{Advice, Client, Error, ErrorReason, Login, Session, Subject};
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey, SignatureAlgorithm, UserauthRequest};
use keywright_e2e::agent::{finished, ssh_arguments};
use keywright_e2e::apart::Apart;
use keywright_e2e::secrets::Needles;
use keywright_e2e::supervised::binaries;
use keywright_e2e::world::{create_tenant, owner};
use keywright_e2e::{LIMIT, Sshd, World, text};
use keywright_kit::{Caller, KeyPair, KeyType, KeywrightOptions, Port, free_port, keygen, python, ssh};
use reqwest::Method;
use serde_json::{Value, json};

/// A tenant's saved credential on a host, and the port for internal services.
struct Scene {
    world: World,
    inside: Port,
    credential: String,
    key: KeyPair,
}

impl Scene {
    async fn new() -> Self {
        let inside = free_port().unwrap();
        let address = format!("127.0.0.1:{}", inside.number());
        let options = KeywrightOptions::default().arg("--internal-listen").arg(address);
        let world = World::with(options, None, Sshd::OpenSsh).await;
        let (credential, key) = deployer(&world).await;
        Self { world, inside, credential, key }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.inside.number())
    }

    fn client(&self, token: &str) -> Client {
        Client::new(&self.url(), token.to_owned()).unwrap()
    }

    /// A service that the tenant's owner permits.
    async fn service(&self, permission: &str) -> Client {
        self.client(&token(&self.world.owner(), &self.world.tenant, "worker", permission).await)
    }

    async fn allow(&self) {
        allow(&self.world, &self.credential).await;
    }
}

async fn deployer(world: &World) -> (String, KeyPair) {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    world.host.add_user("deploy");
    world.host.write_authorized_keys("deploy", key.public_line());
    let body = json!({"tenantId": world.tenant, "name": "deploy", "username": "deploy", "privateKey": key.private_text()});
    let id = text(&world.keywright.post("/api/credentials/ssh", body).await.success(), "/id");
    let path = format!("/api/servers/{}/credentials", world.server);
    world.keywright.post(&path, json!({"credentialId": id, "skipTest": true})).await.success();
    (id, key)
}

async fn token(issuer: &Caller, tenant: &str, name: &str, permission: &str) -> String {
    let mut body = json!({"role": "internal_service", "permissions": [permission], "name": name});
    if !tenant.is_empty() {
        body["tenantId"] = json!(tenant);
    }
    text(&issuer.post("/api/tokens", body).await.success(), "/token")
}

async fn allow(world: &World, credential: &str) {
    let path = format!("/api/credentials/ssh/{credential}");
    world.owner().send(Method::PATCH, &path, Some(json!({"allowResolve": true})), &[]).await.success();
}

fn refused<T>(answer: Result<T, Error>) -> ErrorReason {
    answer.err().expect("it was not refused").reason
}

/// Whether OpenSSH logs in with these bytes.
async fn opens(world: &World, key: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, key).unwrap();
    private(&file);
    ssh(&world.host, "deploy", &file, "id -un").await.ok()
}

fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_key_is_handed_to_a_permitted_service_where_the_tenant_allowed_it() {
    let scene = Scene::new().await;
    let (id, server) = (scene.credential.as_str(), scene.world.server.as_str());
    let service = scene.service("credential.resolve").await;
    let denied = service.resolve(id, "nightly deployment", None).await.unwrap_err();
    assert_eq!((denied.reason, denied.advice()), (ErrorReason::ResolveNotAllowed, Advice::Never));
    scene.allow().await;

    let key = service.resolve(id, "nightly deployment", Some(server)).await.unwrap();

    assert_eq!((key.username.as_str(), key.version), ("deploy", 1));
    assert!(opens(&scene.world, &key.private_key).await);
    let path = format!("/api/audit/events?action=credential.resolve&target={id}&outcome=succeeded");
    let log = scene.world.keywright.wait_for(&path, LIMIT, |log| log["items"] != json!([])).await;
    assert_eq!(text(&log, "/items/0/comment"), "nightly deployment");
    let shown = scene.world.owner().get(&format!("/api/credentials/ssh/{id}")).await.success();
    assert!(shown["lastUsedAt"].is_string(), "{shown}");
    let mut needles = Needles::default();
    needles.add("the key", String::from_utf8_lossy(&key.private_key).lines().nth(2).unwrap());
    needles.assert_absent("the server's log", scene.world.keywright.logs().as_bytes());
    needles.assert_absent_from_data(&scene.world.keywright.data_dir());
}

#[tokio::test]
async fn nobody_else_and_no_gateway_hands_out_a_key() {
    let scene = Scene::new().await;
    scene.allow().await;
    let id = scene.credential.as_str();
    let worker = token(&scene.world.owner(), &scene.world.tenant, "worker", "credential.resolve").await;
    for token in [&worker, &scene.world.owner_token, &scene.world.keywright.operator_token()] {
        let gateway = Client::new(&scene.world.keywright.url(), token.clone()).unwrap();
        let error = gateway.resolve(id, "by the front door", None).await.unwrap_err();
        assert_ne!(error.reason, ErrorReason::ResolveNotAllowed, "{error}");
        assert!(error.name == "ROUTE_NOT_FOUND" || error.name == "Unimplemented", "{error}");
        let body = json!({"credentialId": id, "purpose": "by REST"});
        for path in [
            format!("/api/credentials/ssh/{id}/resolve"),
            "/keywright.credential.v1.ResolveService/Resolve".into(),
        ] {
            let answer = scene.world.keywright.caller(token).post(&path, body.clone()).await;
            assert!(
                answer.status == 404 || answer.status == 415,
                "{path}: {} {}",
                answer.status,
                answer.json
            );
        }
    }
    for token in [&scene.world.owner_token, &scene.world.keywright.operator_token()] {
        let person = scene.client(token).resolve(id, "I am a person", None).await;
        assert_eq!(refused(person), ErrorReason::PermissionDenied);
    }
    let signer = scene.service("credential.sign").await;
    assert_eq!(refused(signer.resolve(id, "not permitted", None).await), ErrorReason::PermissionDenied);
    let other = create_tenant(&scene.world.keywright, "Other").await;
    let (_, stranger) = owner(&scene.world.keywright, &other).await;
    let stranger = token_of(&scene, &stranger, &other).await;
    assert_eq!(
        refused(stranger.resolve(id, "another tenant's", None).await),
        ErrorReason::CredentialNotFound
    );
    let nobody = scene.client("nonsense").resolve(id, "no token at all", None).await;
    assert_eq!(refused(nobody), ErrorReason::Unauthenticated);
    let nowhere =
        Client::builder("http://127.0.0.1:9", worker).deadline(Duration::from_secs(2)).build().unwrap();
    let lost = nowhere.resolve(id, "nobody is there", None).await.unwrap_err();
    assert!(matches!(lost.advice(), Advice::After(_)), "{lost}");
    assert!(opens(&scene.world, scene.key.private_text().as_bytes()).await);
}

async fn token_of(scene: &Scene, owner: &str, tenant: &str) -> Client {
    scene.client(&token(&scene.world.keywright.caller(owner), tenant, "worker", "credential.resolve").await)
}

#[tokio::test]
async fn a_login_is_signed_for_a_service_with_the_hosts_own_proof() {
    let scene = Scene::new().await;
    let service = scene.service("credential.sign").await;
    let host = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    let body = json!({"tenantId": scene.world.tenant, "name": "db", "host": "db.example",
        "hostKeys": [host.public().openssh()]});
    let server = text(&scene.world.keywright.post("/api/servers", body).await.success(), "/id");
    let bind = json!({"credentialId": scene.credential, "skipTest": true});
    scene.world.keywright.post(&format!("/api/servers/{server}/credentials"), bind).await.success();
    let id = [5u8; 32];
    let signature = host.sign(SignatureAlgorithm::Ed25519, &id).unwrap();
    let session = Session { id: &id, host_key: host.public().blob(), host_signature: &signature };
    let login = Login { username: "deploy", algorithm: "ssh-ed25519", host_bound: true };

    let listed = service.signing_keys().await.unwrap();
    let signed = service.signer(&scene.credential, &server).sign(session, login).await.unwrap();

    assert_eq!((listed.len(), listed[0].servers.len()), (1, 2));
    let key = PublicKey::parse_openssh(&listed[0].public_key).unwrap();
    let request =
        UserauthRequest::new(id.to_vec(), "deploy".into(), SignatureAlgorithm::Ed25519, key.clone());
    key.verify(&request.unwrap().bound_to(host.public().clone()).signed_bytes(), &signed).unwrap();
    let elsewhere = service.signer(&scene.credential, &scene.world.server).sign(session, login).await;
    assert_eq!(refused(elsewhere), ErrorReason::HostKeyMismatch);
    let unproven = Session { id: &[6; 32], ..session };
    let unproven = service.signer(&scene.credential, &server).sign(unproven, login).await;
    assert_eq!(refused(unproven), ErrorReason::ValidationFailed);
}

#[tokio::test]
async fn what_a_service_holds_is_not_deleted_under_it() {
    let scene = Scene::new().await;
    let operator = scene.world.keywright.operator();
    let platform = async |name: &str| scene.client(&token(&operator, "", name, "reference.write").await);
    let (deployer, tomorrow, other) =
        (platform("deployer").await, platform("deployer").await, platform("other").await);
    let credential = Subject::Credential(&scene.credential);
    let binding = format!("/api/servers/{}/credentials", scene.world.server);
    scene.world.keywright.delete(&binding, Value::Null).await.success();

    deployer.add_reference(credential, "deployer/web", "pipeline").await.unwrap();
    deployer.add_reference(credential, "deployer/web", "pipeline").await.unwrap();

    let path = format!("/api/credentials/ssh/{}", scene.credential);
    let body = json!({"confirmation": {"credentialId": scene.credential}});
    let usage = scene.world.owner().get(&format!("{path}/usage")).await.success();
    assert_eq!(
        (&usage["totalReferences"], text(&usage, "/references/0/owner")),
        (&json!(1), "deployer/web".into())
    );
    let blocked = scene.world.owner().delete(&path, body.clone()).await;
    assert_eq!((blocked.status, blocked.reason()), (409, "CREDENTIAL_IN_USE"), "{}", blocked.json);
    let stolen = other.remove_reference(credential, "deployer/web", "pipeline").await;
    assert_eq!(refused(stolen), ErrorReason::ValidationFailed);
    let access = "acc_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(refused(other.add_reference(credential, access, "x").await), ErrorReason::ValidationFailed);
    let person = scene.client(&scene.world.owner_token).add_reference(credential, "me", "mine").await;
    assert_eq!(refused(person), ErrorReason::PermissionDenied);
    tomorrow.remove_reference(credential, "deployer/web", "pipeline").await.unwrap();
    scene.world.owner().delete(&path, body).await.success();

    let server = text(
        &scene
            .world
            .keywright
            .post("/api/servers", json!({"tenantId": scene.world.tenant, "name": "x", "host": "x.example"}))
            .await
            .success(),
        "/id",
    );
    deployer.add_reference(Subject::Server(&server), "deployer/x", "pipeline").await.unwrap();
    let path = format!("/api/servers/{server}");
    let body = json!({"confirmation": {"serverId": server}});
    let blocked = scene.world.owner().delete(&path, body.clone()).await;
    assert_eq!((blocked.status, blocked.reason()), (409, "SERVER_IN_USE"), "{}", blocked.json);
    deployer.remove_reference(Subject::Server(&server), "deployer/x", "pipeline").await.unwrap();
    scene.world.owner().delete(&path, body).await.success();
}

#[tokio::test]
async fn the_example_runs_a_command_with_a_lent_key() {
    let scene = Scene::new().await;
    scene.allow().await;
    let worker = token(&scene.world.owner(), &scene.world.tenant, "worker", "credential.resolve").await;
    let folder = tempfile::tempdir().unwrap();
    let mut options = ssh_arguments(&scene.world.host, "deploy", folder.path());
    options.pop();
    let example = binaries().join("examples/deploy");
    assert!(
        example.is_file(),
        "{} is missing: cargo build -p keywright-client --examples",
        example.display()
    );
    let mut command = tokio::process::Command::new("ssh-agent");
    command
        .arg(example)
        .args([&scene.credential, &scene.world.server, scene.world.host.address(), "id", "-un"])
        .env("KEYWRIGHT_INTERNAL_URL", scene.url())
        .env("KEYWRIGHT_TOKEN", worker)
        .env("DEPLOY_SSH_OPTIONS", options.join(" "));

    let ran = finished(&mut command).await;

    assert_eq!(ran.success().trim(), "deploy");
}

#[tokio::test]
async fn python_does_the_same_over_plain_grpc() {
    let mut apart = Apart::start();
    let world = World::with(apart.gateway(), None, Sshd::OpenSsh).await;
    let (credential, _) = deployer(&world).await;
    let modules = generated().await;
    let address = apart.url("credential-store").replace("http://", "");
    let resolver = token(&world.owner(), &world.tenant, "python", "credential.resolve").await;
    let run = async |token: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let script = project().join("tests/e2e/python/internal_service.py");
        let mut command = python("python-grpc").unwrap();
        let path = format!("{}:{}", modules.path().display(), path_of(&command));
        command.env("PYTHONPATH", path).env("KEYWRIGHT_TOKEN", token);
        command.arg(script).args([&address, &credential, &world.server]).arg(&file);
        let said = finished(&mut command).await.success();
        let calls: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (calls, std::fs::read(file).unwrap_or_default())
    };

    let (calls, key) = run(&resolver).await;
    assert_eq!(calls[0]["reason"], "PERMISSION_DENIED", "{calls:?}");
    assert_eq!((&calls[1]["reason"], key.len()), (&json!("RESOLVE_NOT_ALLOWED"), 0), "{calls:?}");
    allow(&world, &credential).await;
    let (calls, key) = run(&resolver).await;
    assert_eq!((&calls[1]["username"], &calls[1]["version"]), (&json!("deploy"), &json!(1)), "{calls:?}");
    assert!(opens(&world, &key).await);
    let signer = token(&world.owner(), &world.tenant, "python", "credential.sign").await;
    let (calls, _) = run(&signer).await;
    assert_eq!(calls[2]["credentials"], json!([credential]), "{calls:?}");
    assert_eq!(calls[3]["reason"], "HOST_KEY_MISMATCH", "{calls:?}");
    let holder = token(&world.keywright.operator(), "", "python", "reference.write").await;
    assert_eq!(run(&holder).await.0[0], json!({"call": "add_reference"}));
    let usage = world.owner().get(&format!("/api/credentials/ssh/{credential}/usage")).await.success();
    assert_eq!(text(&usage, "/references/0/owner"), "python/job");

    apart.kill9("audit");
    let (calls, key) = run(&resolver).await;
    assert_eq!((&calls[1]["reason"], key.len()), (&json!("AUDIT_UNAVAILABLE"), 0), "{calls:?}");
    assert!(calls[1]["retry_after"].as_f64().unwrap() > 0.0, "{calls:?}");
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn path_of(command: &tokio::process::Command) -> String {
    let found =
        command.as_std().get_envs().find(|(name, _)| *name == "PYTHONPATH").and_then(|(_, value)| value);
    found.unwrap().to_string_lossy().into_owned()
}

/// The contract as Python modules, as a Python team would make them.
async fn generated() -> tempfile::TempDir {
    let (folder, proto) = (tempfile::tempdir().unwrap(), project().join("proto"));
    let mut files: Vec<PathBuf> = ["keywright", "google/api", "google/rpc"]
        .iter()
        .flat_map(|part| keywright_e2e::world::files_below(&proto.join(part)))
        .filter(|file| file.extension().is_some_and(|extension| extension == "proto"))
        .collect();
    files.sort();
    let mut command = python("python-grpc").unwrap();
    command.args(["-m", "grpc_tools.protoc", "-I"]).arg(&proto);
    for kind in ["--python_out", "--grpc_python_out"] {
        command.arg(format!("{kind}={}", folder.path().display()));
    }
    finished(command.args(files)).await.success();
    folder
}
