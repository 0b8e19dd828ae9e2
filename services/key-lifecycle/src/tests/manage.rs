//! The gates of a bootstrap, and what becomes of one that did not live to its end.

use super::world::{World, operator, reason};
use crate::model::{Management, ManagementKind, ManagementState};
use crate::store;
use keywright_domain::ids::{CredentialId, ManagementId, ServerId, VersionId};
use keywright_domain::key::{GenerateSpec, PrivateKey};
use keywright_domain::reason::Reason;
use keywright_proto::credential as vault;
use keywright_proto::credential::VersionState;
use keywright_proto::credential::custody_service_server::CustodyService;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

fn asked(server: &str, bootstrap: proto::BootstrapCredential) -> proto::ManageServerRequest {
    proto::ManageServerRequest { server_id: server.to_owned(), bootstrap_credential: Some(bootstrap) }
}

fn one_time() -> proto::BootstrapCredential {
    let key = PrivateKey::generate(GenerateSpec::Ed25519).unwrap().to_openssh().unwrap();
    proto::BootstrapCredential {
        private_key: key.expose_text().unwrap().to_owned(),
        username: "root".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_bootstrap_names_one_key_and_one_account() {
    let world = World::new().await;
    let server = world.server();
    let ask = async |bootstrap| {
        reason(world.management(&operator()).manage_server(asked(&server, bootstrap)).await)
    };
    assert_eq!(ask(Default::default()).await, Reason::ValidationFailed);
    let both = proto::BootstrapCredential {
        credential_id: CredentialId::random().unwrap().to_string(),
        ..one_time()
    };
    assert_eq!(ask(both).await, Reason::ValidationFailed);
    let nobody = proto::BootstrapCredential { username: String::new(), ..one_time() };
    assert_eq!(ask(nobody).await, Reason::ValidationFailed);
    let rubbish = proto::BootstrapCredential { private_key: "rubbish".to_owned(), ..one_time() };
    assert_eq!(ask(rubbish).await, Reason::KeyUnparsable);
    let tenants = world.management(&world.owner).manage_server(asked(&server, one_time())).await;
    assert_eq!(reason(tenants), Reason::PermissionDenied);
    let missing = asked(ServerId::random().unwrap().as_str(), one_time());
    assert_eq!(reason(world.management(&operator()).manage_server(missing).await), Reason::ServerNotFound);
}

#[tokio::test]
async fn a_server_must_be_active_and_pinned_and_the_account_no_tenants() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let theirs = proto::BootstrapCredential { username: access.account, ..one_time() };
    let ask = async |bootstrap| {
        reason(world.management(&operator()).manage_server(asked(&server, bootstrap)).await)
    };
    assert_eq!(ask(theirs).await, Reason::AccountNotAllowed);
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().host_keys.clear();
    assert_eq!(ask(one_time()).await, Reason::HostKeyUnpinned);
    let inactive = vault::ServerLifecycle::Inactive;
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().lifecycle_status = inactive.into();
    assert_eq!(ask(one_time()).await, Reason::ServerInactive);
}

#[tokio::test]
async fn a_server_that_is_not_reached_is_not_managed_and_may_be_tried_again() {
    let world = World::new().await;
    let server = world.server();
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().host = "169.254.169.254".to_owned();
    for _ in 0..2 {
        // A cloud's metadata service is never dialled.
        let refused = world.management(&operator()).manage_server(asked(&server, one_time())).await;
        assert_eq!(reason(refused), Reason::TargetNotAllowed);
    }
}

/// An installation that was cut off after its key was generated.
async fn interrupted(world: &World, server: &str) -> Management {
    let keys = (CredentialId::random().unwrap(), VersionId::random().unwrap());
    let (id, server) = (ManagementId::random().unwrap(), ServerId::parse(server).unwrap());
    let (kind, now) = (ManagementKind::Bootstrap, world.db.now().await.unwrap());
    let mut it = Management::new(id, server, keys, "root".to_owned(), kind, now);
    world.vault.state.lock().unwrap().credentials.insert(it.credential.to_string());
    let generate = vault::GenerateVersionRequest {
        credential_id: it.credential.to_string(),
        version_id: it.version.to_string(),
        algorithm: "ssh-ed25519".to_owned(),
    };
    let made = world
        .vault
        .generate_version(tonic::Request::new(generate))
        .await
        .unwrap()
        .into_inner()
        .version
        .unwrap();
    it.public_key = Some(keywright_domain::key::PublicKey::parse_openssh(&made.public_key).unwrap());
    let mut tx = world.db.begin_internal("a test's installation").await.unwrap();
    let later = it.created_at.plus(Duration::from_secs(90));
    store::management::insert(&mut tx, &it, later).await.unwrap();
    store::management::generated(&mut tx, &it.id, it.public_key.as_ref().unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    it
}

async fn state(world: &World, it: &Management) -> ManagementState {
    let mut reader = store::reader(&world.db).await.unwrap();
    store::management::find(&mut reader, &it.id).await.unwrap().unwrap().state
}

#[tokio::test]
async fn an_interrupted_installation_is_destroyed_unless_the_server_already_has_it() {
    let world = World::new().await;
    let (one, two) = (world.server(), world.server());
    let (lost, counted) = (interrupted(&world, &one).await, interrupted(&world, &two).await);
    world.vault.state.lock().unwrap().servers.get_mut(&two).unwrap().management_key_id =
        counted.credential.to_string();
    let open = proto::CheckWorkRequest {
        work: lost.id.to_string(),
        credential_id: lost.credential.to_string(),
        server_id: one.clone(),
    };
    assert!(world.works().check_work(open.clone()).await.unwrap().into_inner().open);
    world.settle().await;
    assert_eq!(state(&world, &lost).await, ManagementState::Running, "it may still live");
    world.pass(Duration::from_secs(91));
    world.settle().await;
    assert_eq!(state(&world, &lost).await, ManagementState::Failed);
    assert_eq!(state(&world, &counted).await, ManagementState::Succeeded);
    let destroyed = world.vault.version(lost.version.as_str());
    assert!(destroyed.material_destroyed && destroyed.state() == VersionState::Failed);
    let kept = world.vault.version(counted.version.as_str());
    assert!(!kept.material_destroyed && kept.state() == VersionState::Active);
    assert!(!world.works().check_work(open).await.unwrap().into_inner().open);
}
