//! How a server is reached and recognized: jump hosts, authorities, a wrong host key; and certificates of credentials.

use super::fakes::Hears;
use super::world::{World, answer, owner, reason};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::TenantId;
use keywright_domain::key::{
    Certificate, GenerateSpec, PrivateKey, PublicKey, SignatureAlgorithm, UserauthRequest,
};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_proto::credential::HostKeyAction::{Approve, Remove, Repin, TrustAuthority};
use keywright_runtime::failure::Failure;
use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

fn host_key() -> PublicKey {
    PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().clone()
}

struct Scene {
    world: World,
    tenant: TenantId,
    owner: Caller,
    saved: proto::SshCredential,
}

impl Scene {
    async fn on(world: World) -> Self {
        let tenant = world.tenant().await;
        let owner = owner(&tenant);
        let saved = world.saved(&owner).await;
        Self { world, tenant, owner, saved }
    }

    async fn new() -> Self {
        Self::on(World::new().await).await
    }

    /// Pinned and bound, so that it can be a jump host.
    async fn server(&self, name: &str, jump_host: &str) -> Result<proto::Server, Failure> {
        let request = proto::RegisterServerRequest {
            name: name.to_owned(),
            host: format!("{name}.example"),
            host_keys: vec![host_key().openssh()],
            jump_host_id: jump_host.to_owned(),
            ..Default::default()
        };
        let made = answer(self.world.servers(&self.owner).register_server(request).await)?.server.unwrap();
        self.world.bind(&self.owner, &made.id, &self.saved.id).await.unwrap();
        Ok(made)
    }

    async fn set(&self, server: &str, jump_host: &str) -> Result<proto::Server, Failure> {
        let request =
            proto::SetJumpHostRequest { server_id: server.to_owned(), jump_host_id: jump_host.to_owned() };
        answer(self.world.servers(&self.owner).set_jump_host(request).await).map(|set| set.server.unwrap())
    }

    async fn route(&self, jump_host: &str) -> Result<Vec<String>, Failure> {
        let probe = Caller::background(ServiceName::ConnectivityProbe, "");
        let request = proto::ResolveRouteRequest { jump_host_id: jump_host.to_owned() };
        let route = answer(self.world.directory(&probe).resolve_route(request).await)?.jump_hosts;
        assert!(route.iter().all(|on| on.credential.as_ref().unwrap().id == self.saved.id));
        Ok(route.into_iter().map(|on| on.server.unwrap().name).collect())
    }

    async fn read(&self, server: &str) -> proto::Server {
        let request = proto::GetServerRequest { server_id: server.to_owned() };
        answer(self.world.servers(&self.owner).get_server(request).await).unwrap().server.unwrap()
    }

    async fn keys(
        &self,
        server: &str,
        action: proto::HostKeyAction,
        named: &[&PublicKey],
    ) -> Result<Vec<proto::HostKey>, Failure> {
        let trusted = action == TrustAuthority;
        let request = proto::UpdateHostKeysRequest {
            server_id: server.to_owned(),
            action: action.into(),
            fingerprints: named
                .iter()
                .filter(|_| !trusted)
                .map(|key| key.fingerprint().to_string())
                .collect(),
            authorities: named.iter().filter(|_| trusted).map(|key| key.openssh()).collect(),
        };
        answer(self.world.servers(&self.owner).update_host_keys(request).await).map(|now| now.items)
    }

    fn login(&self, server: &str) -> proto::SignUserauthRequest {
        proto::SignUserauthRequest {
            credential_id: self.saved.id.clone(),
            server_id: server.to_owned(),
            session_id: vec![3; 32],
            username: "deploy".to_owned(),
            algorithm: "ssh-ed25519".to_owned(),
            ..Default::default()
        }
    }

    async fn sign(&self, caller: &Caller, login: proto::SignUserauthRequest) -> Result<Vec<u8>, Reason> {
        let signed = answer(self.world.keys(caller).sign_userauth(login).await);
        signed.map(|signed| signed.signature).map_err(|failure| failure.reason)
    }

    async fn report(&self, server: &str, shown: &PublicKey) {
        let probe = Caller::background(ServiceName::ConnectivityProbe, "");
        let request = proto::ReportHostKeyMismatchRequest {
            server_id: server.to_owned(),
            fingerprint: shown.fingerprint().to_string(),
        };
        self.world.directory(&probe).report_host_key_mismatch(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_the_same() {
    ways(Scene::on(World::on_postgres().await).await).await;
    mismatch(Scene::on(World::on_postgres().await).await).await;
    told(Scene::on(World::on_postgres().await).await).await;
    certificates(Scene::on(World::on_postgres().await).await).await;
}

#[tokio::test]
async fn ways_are_chains_within_the_tenant_and_never_circles() {
    ways(Scene::new().await).await;
}

async fn ways(scene: Scene) {
    let outer = scene.server("outer", "").await.unwrap();
    let inner = scene.server("inner", &outer.id).await.unwrap();
    let web = scene.server("web", &inner.id).await.unwrap();
    assert_eq!(
        (web.jump_host_id.as_str(), inner.jump_host_id.as_str()),
        (inner.id.as_str(), outer.id.as_str())
    );
    assert_eq!(scene.route(&inner.id).await.unwrap(), ["outer", "inner"]);

    for (server, jump_host) in [(&outer, &web), (&outer, &inner), (&web, &web)] {
        assert_eq!(scene.set(&server.id, &jump_host.id).await.unwrap_err().reason, Reason::ValidationFailed);
    }
    assert_eq!(scene.set(&web.id, "rubbish").await.unwrap_err().reason, Reason::ValidationFailed);
    let other = Scene { owner: owner(&scene.world.tenant().await), ..scene };
    let foreign = other.world.server(&other.owner, "foreign").await;
    let scene = Scene { owner: owner(&other.tenant), ..other };
    assert_eq!(scene.set(&web.id, &foreign.id).await.unwrap_err().reason, Reason::ServerNotFound);
    assert_eq!(scene.server("lost", &foreign.id).await.unwrap_err().reason, Reason::ServerNotFound);

    let mut last = web.id.clone();
    for number in 1..=2 {
        last = scene.server(&format!("far{number}"), &last).await.unwrap().id;
    }
    let refused = scene.server("too-far", &last).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ValidationFailed, "five servers on the way");

    let check = proto::CheckServerDeletionRequest { server_id: inner.id.clone() };
    let said = answer(scene.world.servers(&scene.owner).check_server_deletion(check).await).unwrap();
    assert!(said.blockers.iter().any(|why| why.contains("jump host of web")), "{said:?}");
    let unbind = proto::UnbindCredentialRequest { server_id: inner.id.clone() };
    scene.world.servers(&scene.owner).unbind_credential(unbind).await.unwrap();
    let delete = proto::DeleteServerRequest {
        server_id: inner.id.clone(),
        confirmation: Some(proto::ServerConfirmation { server_id: inner.id.clone() }),
    };
    assert_eq!(
        reason(scene.world.servers(&scene.owner).delete_server(delete.clone()).await),
        Reason::ServerInUse
    );
    let unusable = scene.route(&inner.id).await.unwrap_err();
    assert_eq!(
        (unusable.reason, unusable.metadata["jumpHostId"].as_str()),
        (Reason::BindingNotFound, inner.id.as_str())
    );

    let revision = scene.set(&web.id, &outer.id).await.unwrap().revision;
    assert_eq!(scene.set(&web.id, &outer.id).await.unwrap().revision, revision, "said twice");
    assert_eq!(scene.set(&web.id, "").await.unwrap().jump_host_id, "");
    scene.world.servers(&scene.owner).delete_server(delete).await.unwrap();
}

#[tokio::test]
async fn a_work_logs_in_to_the_jump_hosts_of_its_server_and_to_no_others() {
    let scene = Scene::new().await;
    let jump = scene.server("jump", "").await.unwrap();
    let web = scene.server("web", &jump.id).await.unwrap();
    let other = scene.server("other", "").await.unwrap();
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "rot_open");
    scene.world.lifecycle.open.lock().unwrap().insert(("rot_open".to_owned(), String::new(), web.id.clone()));
    let towards = |server: &proto::Server, towards: &proto::Server| proto::SignUserauthRequest {
        towards_server_id: towards.id.clone(),
        ..scene.login(&server.id)
    };
    assert!(scene.sign(&lifecycle, towards(&jump, &web)).await.is_ok());
    // The jump host itself, and one that does not stand on the way.
    assert_eq!(scene.sign(&lifecycle, scene.login(&jump.id)).await, Err(Reason::PermissionDenied));
    assert_eq!(scene.sign(&lifecycle, towards(&other, &web)).await, Err(Reason::ValidationFailed));
    // Where the work is not open.
    assert_eq!(scene.sign(&lifecycle, towards(&jump, &other)).await, Err(Reason::ValidationFailed));
    let elsewhere = scene.server("elsewhere", &jump.id).await.unwrap();
    assert_eq!(scene.sign(&lifecycle, towards(&jump, &elsewhere)).await, Err(Reason::PermissionDenied));
    // Another user, or another credential, than what is bound to it.
    let login = proto::SignUserauthRequest { username: "root".to_owned(), ..towards(&jump, &web) };
    assert_eq!(scene.sign(&lifecycle, login).await, Err(Reason::ValidationFailed));
    let unbound = scene.world.saved(&scene.owner).await;
    let login = proto::SignUserauthRequest { credential_id: unbound.id, ..towards(&jump, &web) };
    assert_eq!(scene.sign(&lifecycle, login).await, Err(Reason::ValidationFailed));
}

#[tokio::test]
async fn after_a_wrong_host_key_nothing_is_signed_until_the_right_ones_are_seen() {
    mismatch(Scene::new().await).await;
}

async fn mismatch(scene: Scene) {
    let server = scene.server("web", "").await.unwrap();
    let pinned = PublicKey::parse_openssh(&server.host_keys[0].public_key).unwrap();
    let probe = super::world::person(
        keywright_domain::caller::Role::TenantOwner,
        Some(&scene.tenant),
        ServiceName::ConnectivityProbe,
    );
    assert!(scene.sign(&probe, scene.login(&server.id)).await.is_ok());
    scene.report(&server.id, &pinned).await;
    assert!(scene.read(&server.id).await.host_key_mismatch.is_none(), "it is a pinned one by now");

    let (wrong, later) = (host_key(), host_key());
    for shown in [&wrong, &wrong, &later] {
        scene.report(&server.id, shown).await;
    }
    let flagged = scene.read(&server.id).await.host_key_mismatch.unwrap();
    assert_eq!(flagged.fingerprint, wrong.fingerprint().to_string(), "the first counts");
    let events = scene.world.log.actions();
    assert_eq!(events.iter().filter(|action| *action == "server.host_key_mismatch").count(), 1);
    assert_eq!(scene.sign(&probe, scene.login(&server.id)).await, Err(Reason::HostKeyMismatch));

    // What is shown decides, not what is asked for.
    *scene.world.prober.shown.lock().unwrap() = vec![wrong.openssh()];
    assert_eq!(
        scene.keys(&server.id, Approve, &[&pinned]).await.unwrap_err().reason,
        Reason::HostKeyMismatch
    );
    assert!(scene.read(&server.id).await.host_key_mismatch.is_some());
    *scene.world.prober.shown.lock().unwrap() = vec![pinned.openssh()];
    scene.keys(&server.id, Approve, &[&pinned]).await.unwrap();
    assert!(scene.read(&server.id).await.host_key_mismatch.is_none());
    assert!(scene.sign(&probe, scene.login(&server.id)).await.is_ok());

    scene.report(&server.id, &wrong).await;
    *scene.world.prober.shown.lock().unwrap() = vec![wrong.openssh()];
    assert_eq!(scene.keys(&server.id, Repin, &[&wrong]).await.unwrap().len(), 1);
    assert!(scene.sign(&probe, scene.login(&server.id)).await.is_ok());
}

#[tokio::test]
async fn people_are_told_of_each_mismatch_and_of_its_end_once_and_nothing_is_lost() {
    told(Scene::new().await).await;
}

async fn told(scene: Scene) {
    let jump = scene.server("jump", "").await.unwrap();
    let server = scene.server("web", &jump.id).await.unwrap();
    scene.server("db", &server.id).await.unwrap();
    let pinned = PublicKey::parse_openssh(&server.host_keys[0].public_key).unwrap();
    let (wrong, lifecycle) = (host_key(), &scene.world.lifecycle);
    let heard = || std::mem::take(&mut *lifecycle.told.lock().unwrap());
    for shown in [&wrong, &wrong, &host_key()] {
        scene.report(&server.id, shown).await;
    }

    // What was heard without an answer is said again, as the same.
    *lifecycle.hears.lock().unwrap() = Hears::ButDoesNotAnswer;
    assert_eq!(scene.world.teller.tell().await.unwrap_err().reason, Reason::ServiceUnavailable);
    *lifecycle.hears.lock().unwrap() = Hears::Well;
    tokio::try_join!(scene.world.teller.tell(), scene.world.teller.tell()).unwrap();
    scene.world.teller.tell().await.unwrap();
    let told = heard();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], told[1]);
    let (news, seen_at) = (&told[0], "2023-11-14T22:13:20.000000Z");
    assert_eq!(
        (news.event.as_str(), &news.subject, news.tenant_id.as_str()),
        ("server.host_key_mismatch", &server.id, scene.tenant.as_str())
    );
    let (presented, good) = (wrong.fingerprint().to_string(), pinned.fingerprint().to_string());
    let details = [
        ("serverName", "web"),
        ("host", "web.example:22"),
        ("presented", &presented),
        ("pinned", &good),
        ("seenAt", seen_at),
        ("seenBy", "connectivity-probe"),
        ("jumpHost", "jump"),
        ("leadsTo", "db"),
    ];
    let details: HashMap<String, String> =
        details.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(news.details.clone().into_iter().collect::<HashMap<_, _>>(), details);

    // Its end, and then that it comes back.
    *scene.world.prober.shown.lock().unwrap() = vec![pinned.openssh()];
    scene.keys(&server.id, Approve, &[&pinned]).await.unwrap();
    scene.keys(&server.id, Approve, &[&pinned]).await.unwrap();
    scene.report(&server.id, &wrong).await;
    // A replica that does not know the event: it is tried again later.
    *lifecycle.hears.lock().unwrap() = Hears::ButDoesNotUnderstand;
    scene.world.teller.tell().await.unwrap();
    *lifecycle.hears.lock().unwrap() = Hears::Well;
    scene.world.teller.tell().await.unwrap();
    assert_eq!(heard(), []);
    scene.world.pass(Duration::from_secs(61));
    scene.world.teller.tell().await.unwrap();
    let mut told = heard();
    told.sort_by(|one, other| other.event.cmp(&one.event));
    let events: Vec<&str> = told.iter().map(|news| news.event.as_str()).collect();
    assert_eq!(events, ["server.host_key_resolved", "server.host_key_mismatch"]);
    let how = |name: &str| told[0].details[name].as_str();
    assert_eq!(
        (how("how"), how("presented"), how("pinned"), how("resolvedBy")),
        ("approve", presented.as_str(), good.as_str(), scene.owner.principal.id.as_str())
    );
    assert_ne!(told[1].dedup_id, news.dedup_id, "another mismatch");
    scene.world.teller.tell().await.unwrap();
    assert_eq!(heard(), []);
}

#[tokio::test]
async fn an_authority_is_trusted_beside_the_keys_and_outlives_a_re_pin() {
    let scene = Scene::new().await;
    let server = scene.server("web", "").await.unwrap();
    let pinned = PublicKey::parse_openssh(&server.host_keys[0].public_key).unwrap();
    let (authority, fresh) = (host_key(), host_key());
    assert_eq!(
        scene.keys(&server.id, TrustAuthority, &[&pinned]).await.unwrap_err().reason,
        Reason::ValidationFailed
    );
    assert_eq!(
        scene.keys(&server.id, TrustAuthority, &[]).await.unwrap_err().reason,
        Reason::ValidationFailed
    );
    let now = scene.keys(&server.id, TrustAuthority, &[&authority]).await.unwrap();
    let kinds = |keys: &[proto::HostKey]| -> Vec<bool> {
        let mut kinds: Vec<bool> = keys.iter().map(|key| key.certificate_authority).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds(&now), [false, true]);
    *scene.world.prober.shown.lock().unwrap() = vec![fresh.openssh()];
    let now = scene.keys(&server.id, Repin, &[&fresh]).await.unwrap();
    assert_eq!(kinds(&now), [false, true]);
    assert!(now.iter().all(|key| key.fingerprint != pinned.fingerprint().to_string()));
    assert_eq!(kinds(&scene.keys(&server.id, Remove, &[&authority]).await.unwrap()), [false]);

    let text = format!("@cert-authority *.example {}\n", authority.openssh());
    let request = proto::RegisterServerRequest {
        name: "by-authority".to_owned(),
        host: "db.example".to_owned(),
        known_hosts: text,
        ..Default::default()
    };
    let made = answer(scene.world.servers(&scene.owner).register_server(request).await).unwrap();
    assert_eq!(kinds(&made.server.unwrap().host_keys), [true]);
}

/// Made by ssh-keygen.
fn certify(key: &PublicKey, flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (ca, subject) = (folder.path().join("ca"), folder.path().join("subject.pub"));
    let run = |command: &mut Command| assert!(command.output().unwrap().status.success());
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&ca));
    std::fs::write(&subject, key.openssh()).unwrap();
    run(Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(&ca)
        .args(["-I", "id", "-z", "9"])
        .args(flags)
        .arg(&subject));
    std::fs::read_to_string(folder.path().join("subject-cert.pub")).unwrap()
}

#[tokio::test]
async fn a_certificate_belongs_to_the_key_and_goes_with_it() {
    certificates(Scene::new().await).await;
}

async fn certificates(scene: Scene) {
    let key = PublicKey::parse_openssh(&scene.saved.public_key).unwrap();
    let user = certify(&key, &["-n", "deploy,root", "-V", "20200101:20300101"]);
    let update = async |text: &str| {
        let request = proto::UpdateSshCredentialRequest {
            credential_id: scene.saved.id.clone(),
            certificate: Some(text.to_owned()),
            ..Default::default()
        };
        answer(scene.world.credentials(&scene.owner).update_ssh_credential(request).await)
            .map(|updated| updated.credential.unwrap())
    };
    let host = certify(&key, &["-h", "-n", "web.example"]);
    let foreign = certify(&host_key(), &["-n", "deploy"]);
    for (text, expected) in [
        (host.as_str(), Reason::ValidationFailed),
        (foreign.as_str(), Reason::PublicKeyMismatch),
        ("rubbish", Reason::ValidationFailed),
        (scene.saved.public_key.as_str(), Reason::ValidationFailed),
    ] {
        assert_eq!(update(text).await.unwrap_err().reason, expected, "{text}");
    }
    let set = update(&user).await.unwrap();
    let shown = set.certificate.clone().unwrap();
    assert_eq!((shown.key_id.as_str(), shown.serial.as_str()), ("id", "9"));
    assert_eq!(shown.principals, ["deploy", "root"]);
    assert!(shown.valid_before.is_some() && shown.authority.starts_with("SHA256:"));
    assert_eq!(update(&user).await.unwrap().revision, set.revision, "said twice");

    // What is signed holds the certificate in the key's place, and only one of the very key.
    let server = scene.server("web", "").await.unwrap();
    let probe = super::world::person(
        keywright_domain::caller::Role::TenantOwner,
        Some(&scene.tenant),
        ServiceName::ConnectivityProbe,
    );
    let certificate = Certificate::parse_openssh(&user).unwrap();
    let login =
        proto::SignUserauthRequest { certificate: certificate.blob().to_vec(), ..scene.login(&server.id) };
    let signature = scene.sign(&probe, login).await.unwrap();
    let request =
        UserauthRequest::new(vec![3; 32], "deploy".to_owned(), SignatureAlgorithm::Ed25519, key.clone());
    let request = request.unwrap().certified(certificate).unwrap();
    key.verify(&request.signed_bytes(), &signature).unwrap();
    let foreign = Certificate::parse_openssh(&foreign).unwrap();
    for bad in [foreign.blob().to_vec(), vec![0; 10], vec![255; 100_000]] {
        let login = proto::SignUserauthRequest { certificate: bad, ..scene.login(&server.id) };
        assert_eq!(scene.sign(&probe, login).await, Err(Reason::ValidationFailed));
    }

    let rotate = proto::RotateSshCredentialRequest {
        credential_id: scene.saved.id.clone(),
        private_key: super::world::key_text(),
        certificate: user,
        confirmation: Some(proto::CredentialConfirmation {
            credential_id: scene.saved.id.clone(),
            acknowledge_server_usage: true,
        }),
        ..Default::default()
    };
    let stale = scene.world.credentials(&scene.owner).rotate_ssh_credential(rotate.clone()).await;
    assert_eq!(reason(stale), Reason::PublicKeyMismatch);
    let rotate = proto::RotateSshCredentialRequest { certificate: String::new(), ..rotate };
    let rotated = answer(scene.world.credentials(&scene.owner).rotate_ssh_credential(rotate).await).unwrap();
    assert!(rotated.credential.unwrap().certificate.is_none(), "it was of the old key");
    assert!(update("").await.unwrap().certificate.is_none());
}
