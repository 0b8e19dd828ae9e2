//! An attacker with every byte of the database's files and the key-encryption key. What was destroyed stays destroyed.

use super::world::{World, answer, kek_bytes, key_text, owner};
use crate::store::material::{self, Sealed};
use crate::store::testing::postgres_files;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use keywright_domain::ids::{CredentialId, TenantId, VersionId};
use keywright_proto::credential as proto;
use keywright_proto::credential::VersionState::{Active, Revoked};
use keywright_storage::Dialect;
use sqlx::Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A wrapped data key: its form, nonce, 32 bytes, tag.
const WRAP: usize = 1 + NONCE_LEN + 32 + 16;

fn key(bytes: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).unwrap())
}

fn open(key: &LessSafeKey, about: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut text = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    key.open_in_place(nonce, Aad::from(about), &mut text).ok().map(|plain| plain.to_vec())
}

/// Every window that could be the version's data key, tried. On SQLite at every byte, whatever stands before it.
fn data_key_in(bytes: &[u8], kek: &LessSafeKey, version: &VersionId, everywhere: bool) -> Option<Vec<u8>> {
    let about = format!("keywright data key 1 {version}");
    bytes.windows(WRAP).filter(|it| everywhere || it[0] == 1).find_map(|it| open(kek, &about, &it[1..]))
}

/// All bytes of the database's files.
async fn files(world: &World) -> Vec<Vec<u8>> {
    let read = |folder: &Path, wanted: &dyn Fn(&str) -> bool| -> Vec<PathBuf> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| wanted(&path.file_name().unwrap().to_string_lossy())).collect()
    };
    let paths = match world.db.dialect() {
        Dialect::Sqlite => read(world.dir.path(), &|name| name.starts_with("credential.db")),
        Dialect::Postgres => read(&postgres_files(&world.db).await, &|_| true),
    };
    // A file of PostgreSQL may go while we look.
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

async fn opens(world: &World, version: &VersionId) -> Option<Vec<u8>> {
    let (kek, everywhere) = (key(&kek_bytes()), world.db.dialect() == Dialect::Sqlite);
    files(world).await.iter().find_map(|bytes| data_key_in(bytes, &kek, version, everywhere))
}

async fn sealed(world: &World, version: &VersionId) -> Sealed {
    material::find(&world.db, version).await.unwrap().unwrap()
}

/// The attack itself works: while the key is there, it gives the private key back.
async fn assert_the_attack_works(world: &World, version: &VersionId) {
    let data_key = opens(world, version).await.expect("the attacker finds what is there");
    let about = format!("keywright material 1 {version}");
    let material = open(&key(&data_key), &about, &sealed(world, version).await.sealed[1..]).unwrap();
    assert!(String::from_utf8_lossy(&material).contains("PRIVATE KEY") || material.len() > 60);
}

/// At once, or by the sweep where somebody reads the tables meanwhile (PostgreSQL does so by itself).
async fn assert_shredded(world: &World, version: &VersionId, was: &Sealed) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while opens(world, version).await.is_some() && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let _busy = world.shelf.sweep_once().await;
    }
    assert!(material::find(&world.db, version).await.unwrap().is_none());
    assert!(opens(world, version).await.is_none(), "a data key was found");
    for bytes in files(world).await {
        assert!(!bytes.windows(WRAP).any(|it| it == was.wrapped), "the wrap still lies there");
        assert!(!bytes.windows(32).any(|it| it == &was.wrapped[13..45]), "not even a part of it");
    }
}

async fn saved(world: &World, tenant: &TenantId) -> (String, VersionId) {
    let saved = world.saved(&owner(tenant)).await;
    let id = CredentialId::parse(&saved.id).unwrap();
    let versions = crate::store::version::list(&world.db, &id).await.unwrap();
    (saved.id, versions[0].id.clone())
}

fn confirmation(id: &str) -> Option<proto::CredentialConfirmation> {
    Some(proto::CredentialConfirmation { credential_id: id.to_owned(), acknowledge_server_usage: false })
}

async fn delete(world: &World, tenant: &TenantId, id: &str) {
    let delete = proto::DeleteSshCredentialRequest {
        credential_id: id.to_owned(),
        confirmation: confirmation(id),
        ..Default::default()
    };
    answer(world.credentials(&owner(tenant)).delete_ssh_credential(delete).await).unwrap();
}

async fn every_way_of_destroying_shreds(world: World) {
    let tenant = world.tenant().await;
    let (_, stays) = saved(&world, &tenant).await;

    let (id, version) = saved(&world, &tenant).await;
    assert_the_attack_works(&world, &version).await;
    let was = sealed(&world, &version).await;
    delete(&world, &tenant, &id).await;
    assert_shredded(&world, &version, &was).await;

    let (id, version) = saved(&world, &tenant).await;
    let was = sealed(&world, &version).await;
    let rotate = proto::RotateSshCredentialRequest {
        credential_id: id.clone(),
        private_key: key_text(),
        confirmation: confirmation(&id),
        ..Default::default()
    };
    answer(world.credentials(&owner(&tenant)).rotate_ssh_credential(rotate).await).unwrap();
    assert_shredded(&world, &version, &was).await;

    let (credential, version) = world.managed(Some(&tenant), &[Active]).await;
    let id = VersionId::parse(&version.id).unwrap();
    let was = sealed(&world, &id).await;
    world.move_to(&credential, &version.id, Revoked, true, true).await.unwrap();
    assert_shredded(&world, &id, &was).await;

    assert_the_attack_works(&world, &stays).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_destroying_shreds_on_sqlite() {
    every_way_of_destroying_shreds(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_destroying_shreds_on_postgres() {
    every_way_of_destroying_shreds(World::on_postgres().await).await;
}

/// PostgreSQL keeps dead rows for every snapshot, and a new one looks as far back as the oldest transaction of the whole
/// server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_in_another_database_puts_shredding_off_and_no_key_survives_it() {
    let world = World::on_postgres().await;
    let elsewhere = keywright_kit::postgres::postgres_database().await.unwrap();
    let mut other = sqlx::AnyConnection::connect(&elsewhere).await.unwrap();
    sqlx::raw_sql("BEGIN; CREATE TABLE written (id INT)").execute(&mut other).await.unwrap();

    let tenant = world.tenant().await;
    let (id, version) = saved(&world, &tenant).await;
    let was = sealed(&world, &version).await;
    delete(&world, &tenant, &id).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_shredded(&world, &version, &was).await;
}
