//! A server leaves: what stays keeps working, what is Keywright's goes, and never the last way in.

use super::real::{manage, with_an_access};
use super::world::{World, answer, operator, reason};
use crate::store;
use keywright_domain::ids::{CredentialId, ServerId, VersionId};
use keywright_domain::key::{KdfCaps, PrivateKey, intake};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_kit::host::{HostOptions, TestHost};
use keywright_kit::ssh::{KeyPair, KeyType, keygen};
use keywright_proto::credential as vault;
use keywright_proto::lifecycle as proto;
use std::sync::Arc;
use std::time::Duration;

fn asked(server: &str) -> proto::ReleaseServerRequest {
    let confirmation = Some(proto::ServerConfirmation { server_id: server.to_owned() });
    proto::ReleaseServerRequest { server_id: server.to_owned(), confirmation, ..Default::default() }
}

async fn release(world: &World, server: &str) -> Result<proto::ServerRelease, Reason> {
    let done = world.management(&operator()).release_server(asked(server)).await;
    answer(done).map(|done| done.release.unwrap()).map_err(|failure| failure.reason)
}

/// The key as a saved credential that is bound to the server.
fn bind(world: &World, server: &str, key: &KeyPair) {
    let (credential, version) = (CredentialId::random().unwrap(), VersionId::random().unwrap());
    let text = Secret::from_text(key.private_text());
    let private: PrivateKey = intake(&text, None, &KdfCaps::default()).unwrap().key;
    let public_key = private.public().openssh();
    let mut state = world.vault.state.lock().unwrap();
    let known = vault::CredentialVersion {
        id: version.to_string(),
        state: vault::VersionState::Active.into(),
        public_key: public_key.clone(),
        ..Default::default()
    };
    state.versions.insert(version.to_string(), (credential.to_string(), known));
    state.keys.insert(version.to_string(), Arc::new(private));
    let saved = vault::SshCredential {
        id: credential.to_string(),
        tenant_id: world.tenant.to_string(),
        kind: vault::CredentialKind::Saved.into(),
        username: "root".to_owned(),
        public_key,
        ..Default::default()
    };
    state.saved.insert(credential.to_string(), saved);
    let bound = vault::ServerCredential {
        credential_id: credential.to_string(),
        username: "root".to_owned(),
        ..Default::default()
    };
    state.servers.get_mut(server).unwrap().credential = Some(bound);
}

struct Stage {
    world: World,
    host: TestHost,
    server: String,
    access: proto::SshAccess,
}

impl Stage {
    /// Managed by a bootstrap key that nobody saved, with one access.
    async fn new(host: TestHost) -> (Self, KeyPair) {
        let world = World::real().await;
        let (bootstrap, server, access) = with_an_access(&world, &host).await;
        (Self { world, host, server, access }, bootstrap)
    }

    fn roots_file(&self) -> String {
        String::from_utf8(self.host.read_authorized_keys("root").unwrap()).unwrap()
    }

    fn own_lines(&self) -> usize {
        self.roots_file().lines().filter(|line| line.starts_with("ssh-")).count() - 1
    }

    fn tenants_file(&self) -> Vec<u8> {
        self.host.read_authorized_keys(&self.access.account).unwrap()
    }
}

async fn course(host: TestHost) {
    let (stage, bootstrap) = Stage::new(host).await;
    let (world, server) = (&stage.world, stage.server.as_str());
    let before = stage.tenants_file();
    assert_eq!(release(world, server).await.unwrap_err(), Reason::LastPathUnproven, "nothing is bound");
    assert_eq!(stage.own_lines(), 1);
    let stranger = keygen(KeyType::Ed25519, "").await.unwrap();
    bind(world, server, &stranger);
    assert_eq!(release(world, server).await.unwrap_err(), Reason::LastPathUnproven, "it does not log in");
    assert_eq!(stage.own_lines(), 1);
    world.vault.state.lock().unwrap().saved.clear();
    assert_eq!(release(world, server).await.unwrap_err(), Reason::CredentialNotFound, "it was deleted");
    assert_eq!(stage.own_lines(), 1);
    bind(world, server, &bootstrap);
    let released = release(world, server).await.unwrap();
    assert!(released.management_key_removed && released.released_at.is_some());
    assert_ne!(world.turns_ahead(server).await, Duration::ZERO, "the key was offered in its turn");
    assert!(!released.refused.as_ref().unwrap().accepted);
    assert!(released.other_path.as_ref().unwrap().accepted);
    let [key] = released.staying.as_slice() else { panic!("{released:?}") };
    assert_eq!((key.account.as_str(), key.version), (stage.access.account.as_str(), 1));
    assert_eq!(stage.own_lines(), 0, "{}", stage.roots_file());
    assert_eq!(stage.tenants_file(), before, "the tenant's file is as it was");
    {
        let state = world.vault.state.lock().unwrap();
        assert!(state.servers[server].management_key_id.is_empty());
        assert!(state.references.iter().all(|held| !held.contains(server)), "{:?}", state.references);
        let left = state.versions.values().filter(|(_, version)| !version.material_destroyed).count();
        assert_eq!(left, 2, "the two saved ones");
    }
    assert_eq!(release(world, server).await.unwrap(), released, "asked again, the same is answered");
}

#[tokio::test]
async fn openssh() {
    course(TestHost::openssh(HostOptions::default()).await.unwrap()).await;
}

#[tokio::test]
async fn dropbear() {
    course(TestHost::dropbear(HostOptions::default()).await.unwrap()).await;
}

#[tokio::test]
async fn what_is_left_opens_nothing_and_goes_when_the_server_is_managed_again() {
    let (stage, bootstrap) = Stage::new(TestHost::openssh(HostOptions::default()).await.unwrap()).await;
    let (world, server) = (&stage.world, stage.server.as_str());
    let leave = proto::ReleaseServerRequest { leave_management_key: true, ..asked(server) };
    let released =
        answer(world.management(&operator()).release_server(leave).await).unwrap().release.unwrap();
    assert!(!released.management_key_removed && released.other_path.is_none() && released.refused.is_none());
    assert_eq!(stage.own_lines(), 1);
    assert!(
        world.vault.state.lock().unwrap().versions.values().all(|(_, version)| version.material_destroyed)
    );
    manage(world, server, bootstrap.private_text()).await;
    assert_eq!(stage.own_lines(), 2);
    crate::record_backup(&world.db, world.db.now().await.unwrap()).await.unwrap();
    world.settle().await;
    assert_eq!(stage.own_lines(), 1, "{}", stage.roots_file());
}

#[tokio::test]
async fn a_release_that_was_cut_off_goes_on_by_itself() {
    for call in ["forget", "let_go"] {
        let (stage, bootstrap) = Stage::new(TestHost::openssh(HostOptions::default()).await.unwrap()).await;
        let (world, server) = (&stage.world, stage.server.as_str());
        bind(world, server, &bootstrap);
        world.vault.state.lock().unwrap().failing.insert(call, 1);
        assert_eq!(release(world, server).await.unwrap_err(), Reason::ServiceUnavailable, "{call}");
        let mut tx = world.db.begin_internal("a test's hurry").await.unwrap();
        sqlx::query("UPDATE server_release SET next_at = 0").execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
        world.settle().await;
        let mut reader = store::reader(&world.db).await.unwrap();
        let last =
            store::release::last(&mut reader, &ServerId::parse(server).unwrap()).await.unwrap().unwrap();
        assert!(last.finished_at.is_some() && last.refused.is_some(), "{call}: {last:?}");
        assert_eq!(stage.own_lines(), 0);
    }
}

#[tokio::test]
async fn a_release_waits_for_whatever_is_still_to_be_done_on_the_host() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.fail("any", 0, Reason::HostUnreachable);
    world.range.fail(&format!("any {server}"), 1000, Reason::HostUnreachable);
    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
    world.settle().await;
    let refused = answer(world.management(&operator()).release_server(asked(&server)).await).unwrap_err();
    assert_eq!(refused.reason, Reason::RotationInProgress);
    assert!(
        refused.metadata.contains_key("revocationId") && refused.message.contains("exposure"),
        "{refused:?}"
    );
    world.pass(Duration::from_secs(1));
    let mut other = asked(&server);
    other.confirmation = None;
    assert_eq!(
        reason(world.management(&operator()).release_server(other).await),
        Reason::ConfirmationRequired
    );
    let tenants = world.management(&world.owner).release_server(asked(&server)).await;
    assert_eq!(reason(tenants), Reason::PermissionDenied);
}
