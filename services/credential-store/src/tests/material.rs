//! Material: never readable in the database, gone when it is destroyed, and never left behind.

use super::world::{World, answer, key_text, owner, reason};
use crate::adapters::custody::{Custody, SealedStore};
use crate::store::material;
use keywright_domain::ids::VersionId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_proto::credential as proto;
use std::path::Path;
use std::time::Duration;

/// Whether the bytes stand in any file of the database.
fn on_disk(dir: &Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("credential.db"))
        .any(|path| std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes))
}

fn new(private_key: &str) -> proto::CreateSshCredentialRequest {
    proto::CreateSshCredentialRequest {
        name: "deploy".to_owned(),
        private_key: private_key.to_owned(),
        idempotency_key: "one".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn destroyed_material_is_in_no_file_of_the_database() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let text = key_text();
    let saved = answer(world.credentials(&owner).create_ssh_credential(new(&text)).await)
        .unwrap()
        .credential
        .unwrap();
    let credential = keywright_domain::ids::CredentialId::parse(&saved.id).unwrap();
    let versions = crate::store::version::list(&world.db, &credential).await.unwrap();
    let sealed = material::find(&world.db, &versions[0].id).await.unwrap().unwrap();
    assert!(on_disk(world.dir.path(), &sealed.wrapped) && on_disk(world.dir.path(), &sealed.sealed));
    let secret_line = text.lines().nth(4).unwrap();
    assert!(!on_disk(world.dir.path(), secret_line.as_bytes()), "plaintext is nowhere");

    let confirmation =
        proto::CredentialConfirmation { credential_id: saved.id.clone(), acknowledge_server_usage: false };
    let rotate = proto::RotateSshCredentialRequest {
        credential_id: saved.id.clone(),
        private_key: key_text(),
        confirmation: Some(confirmation),
        ..Default::default()
    };
    world.credentials(&owner).rotate_ssh_credential(rotate).await.unwrap();
    for bytes in [&sealed.wrapped, &sealed.sealed] {
        assert!(!on_disk(world.dir.path(), bytes));
        assert!(!on_disk(world.dir.path(), &bytes[1..33]), "not even a part of it");
    }
    assert!(
        matches!(world.shelf.take(&versions[0].id).await, Err(failure) if failure.is(Reason::VersionNotFound))
    );
    let now = crate::store::version::list(&world.db, &credential).await.unwrap();
    assert!(now[1].destroyed_at.is_some() && now[0].destroyed_at.is_none());
}

#[tokio::test]
async fn what_a_dead_request_left_behind_is_destroyed_later_and_not_before() {
    let world = World::new().await;
    let id = VersionId::random().unwrap();
    world.shelf.store(&id, Secret::from_text(key_text())).await.unwrap();
    world.pass(Duration::from_secs(300));
    world.shelf.sweep_once().await.unwrap();
    assert_eq!((world.count("material").await, world.count("material_fate").await), (1, 1));
    world.pass(Duration::from_secs(301));
    world.shelf.sweep_once().await.unwrap();
    assert_eq!(
        (world.count("material").await, world.count("data_key").await, world.count("material_fate").await),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn a_late_second_attempt_at_a_version_never_endangers_its_material() {
    let world = World::new().await;
    let (_, version) = world.managed(Some(&world.tenant().await), &[proto::VersionState::Active]).await;
    let id = VersionId::parse(&version.id).unwrap();
    let there = world.shelf.store(&id, Secret::from_text(key_text())).await.unwrap();
    let key = keywright_domain::key::PrivateKey::from_stored(&there).unwrap();
    assert_eq!(key.public().openssh(), version.public_key);
    world.shelf.discard(&id).await;
    world.pass(Duration::from_secs(3600));
    world.shelf.sweep_once().await.unwrap();
    assert!(world.shelf.take(&id).await.is_ok());
    assert_eq!(world.count("material_fate").await, 0);
}

#[tokio::test]
async fn a_request_whose_material_was_taken_for_dead_cannot_adopt_it() {
    let world = World::new().await;
    let id = VersionId::random().unwrap();
    world.shelf.store(&id, Secret::from_text(key_text())).await.unwrap();
    let mut tx = world.db.begin_internal("the sweep of another replica").await.unwrap();
    material::doom(&mut tx, &id).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.db.begin_internal("the slow request").await.unwrap();
    let refused = world.shelf.adopt(&mut tx, &id).await.unwrap_err().into_failure();
    drop(tx);
    assert_eq!(refused.reason, Reason::RequestInProgress);
    let again = world.shelf.store(&id, Secret::from_text(key_text())).await.unwrap_err();
    assert_eq!(again.reason, Reason::RequestInProgress);
}

#[tokio::test]
async fn a_sealed_store_refuses_at_once_and_leaves_nothing_behind() {
    let world = World::with(async |db| Custody::Sealed(SealedStore::locked(db))).await;
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let refused = world.credentials(&owner).create_ssh_credential(new(&key_text())).await;
    assert_eq!(reason(refused), Reason::SecretStoreSealed);
    for table in ["credential", "material", "material_fate"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
    let list =
        world.credentials(&owner).list_ssh_credentials(proto::ListSshCredentialsRequest::default()).await;
    assert!(list.is_ok(), "views work from metadata");
}
