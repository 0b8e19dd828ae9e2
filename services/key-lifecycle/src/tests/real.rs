//! The whole course on a real host: managed by a bootstrap key, provisioned, rotated, revoked.

use super::world::{World, answer, operator};
use keywright_domain::key::PublicKey;
use keywright_kit::host::{HostOptions, TestHost};
use keywright_kit::ssh::{KeyPair, KeyType, keygen};
use keywright_proto::credential as vault;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

const FOREIGN: &str = "# somebody's own\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1dRnbBCNEmpw1vhjFlLYhGgHjGqyFHPPNqHrwWPWtc friend\n";

/// The test host as a server that nobody manages yet.
pub fn register(world: &World, host: &TestHost) -> String {
    let id = world.server();
    let mut state = world.vault.state.lock().unwrap();
    let server = state.servers.get_mut(&id).unwrap();
    server.host = host.address().to_owned();
    server.port = i32::from(host.port());
    let pins =
        host.host_keys().into_iter().map(|public_key| vault::HostKey { public_key, ..Default::default() });
    server.host_keys = pins.collect();
    server.management_key_id.clear();
    server.management_username.clear();
    id
}

pub async fn manage(world: &World, server: &str, private_key: String) -> proto::ServerManagement {
    let bootstrap =
        proto::BootstrapCredential { private_key, username: "root".to_owned(), ..Default::default() };
    let asked =
        proto::ManageServerRequest { server_id: server.to_owned(), bootstrap_credential: Some(bootstrap) };
    answer(world.management(&operator()).manage_server(asked).await).unwrap().management.unwrap()
}

/// The host as a server that is managed by a bootstrap key, with an access to an account that was made for it.
pub async fn with_an_access(world: &World, host: &TestHost) -> (KeyPair, String, proto::SshAccess) {
    let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("root", bootstrap.public_line());
    let server = register(world, host);
    manage(world, &server, bootstrap.private_text()).await;
    let access = provision(world, &server).await;
    (bootstrap, server, access)
}

/// An access to an account that is made for it.
async fn provision(world: &World, server: &String) -> proto::SshAccess {
    let asked = proto::ProvisionSshAccessRequest {
        create_account: true,
        ..world.provisioning(std::slice::from_ref(server))
    };
    let begun = answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap();
    settle(world, &begun.access.unwrap().id).await
}

/// Drives until nothing is running, with the time that real hosts take.
pub async fn settle(world: &World, access: &str) -> proto::SshAccess {
    for _ in 0..300 {
        world.settle().await;
        let view = world.view(access).await;
        let busy =
            matches!(view.activity(), proto::AccessActivity::Rotating | proto::AccessActivity::Revoking);
        if !busy && view.recent_rotations[0].state() != proto::RotationState::Converging {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not settle: {:?}", world.view(access).await.recent_rotations[0].steps);
}

fn encoded(key: &str) -> String {
    let blob = PublicKey::parse_openssh(key).unwrap();
    blob.openssh().split(' ').nth(1).unwrap().to_owned()
}

async fn course(host: TestHost, ends_by_itself: bool) {
    let world = World::real().await;
    let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("root", bootstrap.public_line());
    let server = register(&world, &host);
    let first = manage(&world, &server, bootstrap.private_text()).await;
    let managed = manage(&world, &server, bootstrap.private_text()).await;
    let roots = String::from_utf8(host.read_authorized_keys("root").unwrap()).unwrap();
    assert!(roots.contains(&bootstrap.public_line().trim().to_owned()), "{roots}");
    assert_ne!(managed.management_key_id, first.management_key_id);
    assert_eq!(
        roots.lines().filter(|line| line.starts_with("ssh-")).count(),
        3,
        "the former key stays until a backup holds the new one: {roots}"
    );
    assert_eq!(managed.predecessors.len(), 1);
    assert_eq!(managed.predecessors[0].fingerprint, first.fingerprint);

    let one = provision(&world, &server).await;
    assert_eq!(
        one.recent_rotations[0].state(),
        proto::RotationState::Succeeded,
        "{:?}",
        one.recent_rotations[0]
    );
    let file = || String::from_utf8(host.read_authorized_keys(&one.account).unwrap()).unwrap();
    let provisioned = file();
    host.write_authorized_keys(&one.account, format!("{FOREIGN}{provisioned}"));

    world.start(&one.id).await;
    let two = settle(&world, &one.id).await;
    assert_eq!(two.version, 2, "{:?}", two.recent_rotations[0]);
    let rotated = file();
    assert!(rotated.starts_with(FOREIGN), "{rotated}");
    let old = rotated.lines().find(|line| line.contains(&encoded(&one.public_key))).unwrap();
    assert_eq!(old.contains("expiry-time="), ends_by_itself, "{old}");
    let line = &two.hosts[0].lines[1];
    assert_eq!(line.grace_enforced_by, if ends_by_itself { "SSHD" } else { "KEYWRIGHT" });
    assert!(line.receipt.as_ref().unwrap().accepted && rotated.contains(&encoded(&two.public_key)));

    let begun = answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&one.id)).await).unwrap();
    settle(&world, &one.id).await;
    let done = world.revocation(&begun.revocation.unwrap().id).await;
    assert_eq!(done.state(), proto::RevocationState::Succeeded, "{done:?}");
    assert!(done.hosts[0].residual_access.contains(&"FOREIGN_KEYS 1".to_owned()), "{done:?}");
    let left = file();
    assert!(left.starts_with(FOREIGN) && !left.contains(&encoded(&one.public_key)), "{left}");
    assert!(!left.contains(&encoded(&two.public_key)), "{left}");
}

#[tokio::test]
async fn openssh() {
    course(TestHost::openssh(HostOptions::default()).await.unwrap(), true).await;
}

#[tokio::test]
async fn dropbear() {
    course(TestHost::dropbear(HostOptions::default()).await.unwrap(), false).await;
}

/// From the first edit to the last nobody waits: the steps on the host share a login, the proofs have their own.
#[tokio::test]
async fn a_rotation_without_grace_enters_its_host_once() {
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let world = World::real().await;
    let (_, _, access) = with_an_access(&world, &host).await;

    let entered = || {
        let state = world.vault.state.lock().unwrap();
        state.logins.iter().filter(|name| *name == "root").count()
    };
    let before = entered();
    let mut asked = world.rotate(&access.id);
    asked.grace_period = Some(prost_types::Duration { seconds: 0, nanos: 0 });
    answer(world.accesses(&world.owner).rotate_ssh_key(asked).await).unwrap();
    let done = settle(&world, &access.id).await;
    assert_eq!(done.recent_rotations[0].state(), proto::RotationState::Succeeded, "{done:?}");
    assert_eq!(entered() - before, 1);
}
