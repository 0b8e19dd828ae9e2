//! One suite for every store of material, and what is particular to each.

use super::{
    Custody, CustodyError, Kek, OpenError, Role, SealedStore, VaultError, VaultSettings, VaultStore,
};
use crate::MIGRATIONS;
use keywright_domain::clock::Clock;
use keywright_domain::ids::VersionId;
use keywright_domain::secret::Secret;
use keywright_kit::bao::{BaoMount, bao_mount, bao_sealed};
use keywright_storage::{Db, Source};
use std::time::Duration;
use tempfile::TempDir;

fn id() -> VersionId {
    VersionId::random().unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::from_text(text.to_owned())
}

async fn get(custody: &Custody, id: &VersionId) -> Result<Vec<u8>, CustodyError> {
    custody.get(id).await.map(|secret| secret.expose().to_vec())
}

/// What every store promises.
async fn keeps_its_promises(custody: &Custody) {
    let (one, other) = (id(), id());
    assert_eq!(custody.ready().await, Ok(()));
    assert_eq!(get(custody, &one).await, Err(CustodyError::NotFound));
    assert_eq!(custody.destroy(&one).await, Ok(()), "what never was is destroyed");
    custody.put(&one, &secret("first")).await.unwrap();
    custody.put(&other, &Secret::new((0..=255).collect())).await.unwrap();
    assert_eq!(custody.put(&one, &secret("second")).await, Err(CustodyError::Exists));
    assert_eq!(get(custody, &one).await.unwrap(), b"first", "written once");
    assert_eq!(get(custody, &other).await.unwrap(), (0..=255).collect::<Vec<u8>>(), "any bytes");

    custody.destroy(&one).await.unwrap();
    assert_eq!(get(custody, &one).await, Err(CustodyError::NotFound));
    assert_eq!(custody.destroy(&one).await, Ok(()), "repeating it is no error");
    assert!(get(custody, &other).await.is_ok(), "only that one");
    custody.renew().await;
    assert_eq!(custody.ready().await, Ok(()));

    let id = id();
    let (first, second) = (secret("first"), secret("second"));
    let (first, second) = tokio::join!(custody.put(&id, &first), custody.put(&id, &second));
    assert!(first.is_ok() != second.is_ok(), "of two at once one wins");
    let winner: &[u8] = if first.is_ok() { b"first" } else { b"second" };
    assert_eq!(get(custody, &id).await.unwrap(), winner);
}

async fn database() -> (TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::Directory(dir.path().into());
    let db = Db::open(&source, "credential", &MIGRATIONS, Clock::System).await.unwrap();
    (dir, db)
}

fn kek(byte: u8) -> Kek {
    Kek::new(Secret::new(vec![byte; 32])).unwrap()
}

fn vault(at: &BaoMount) -> VaultStore {
    VaultStore::new(&VaultSettings {
        address: at.address.clone(),
        token: secret(&at.token),
        ca_certificates: Vec::new(),
        namespace: None,
        mount: at.mount.clone(),
        prefix: "keywright/ssh".to_owned(),
        timeout: Duration::from_secs(5),
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_conforms() {
    let (_dir, db) = database().await;
    keeps_its_promises(&Custody::Sealed(SealedStore::open(db, &kek(1)).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openbao_conforms() {
    let mount = bao_mount().await.unwrap();
    keeps_its_promises(&Custody::Vault(vault(&mount))).await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_anything_is_touched() {
    let (_dir, db) = database().await;
    let store = SealedStore::open(db.clone(), &kek(1)).await.unwrap();
    let id = id();
    store.put(&id, &secret("material")).await.unwrap();
    assert!(matches!(SealedStore::open(db.clone(), &kek(2)).await, Err(OpenError::WrongKey)));
    let again = SealedStore::open(db.clone(), &kek(1)).await.unwrap();
    assert_eq!(again.get(&id).await.unwrap().expose(), b"material");
    let locked = SealedStore::locked(db);
    assert_eq!(locked.get(&id).await.err(), Some(CustodyError::Sealed));
    assert_eq!(locked.put(&super::conformance::id(), &secret("x")).await, Err(CustodyError::Sealed));
    assert_eq!(locked.ready().await, Err(CustodyError::Sealed));
    locked.destroy(&id).await.unwrap();
    assert_eq!(again.get(&id).await.err(), Some(CustodyError::NotFound));
}

#[tokio::test]
async fn sealed_material_does_not_open_under_another_version() {
    let (_dir, db) = database().await;
    let store = SealedStore::open(db.clone(), &kek(1)).await.unwrap();
    let (one, other) = (id(), id());
    store.put(&one, &secret("material")).await.unwrap();
    let stolen = crate::store::material::find(&db, &one).await.unwrap().unwrap();
    let mut tx = db.begin_internal("somebody moves a row").await.unwrap();
    crate::store::material::insert(&mut tx, &other, &stolen).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.get(&other).await.err(), Some(CustodyError::Unavailable));
}

#[tokio::test]
async fn destroying_in_openbao_leaves_no_version_and_no_metadata() {
    let mount = bao_mount().await.unwrap();
    let store = vault(&mount);
    let id = id();
    store.put(&id, &secret("material")).await.unwrap();
    let path = format!("{}/metadata/keywright/ssh/{id}", mount.mount);
    let there = async || mount.request(reqwest::Method::GET, &path, None).await.unwrap().0;
    assert_eq!(there().await, reqwest::StatusCode::OK);
    store.destroy(&id).await.unwrap();
    assert_eq!(there().await, reqwest::StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_sealed_a_stopped_and_a_misconfigured_openbao_are_told_apart() {
    let mut server = bao_sealed().await.unwrap();
    let store = vault(&server.mount);
    let id = id();
    store.put(&id, &secret("material")).await.unwrap();
    server.seal().await.unwrap();
    for seen in
        [store.ready().await.err(), store.get(&id).await.err(), store.put(&id, &secret("x")).await.err()]
    {
        assert_eq!(seen, Some(CustodyError::Sealed));
    }
    assert_eq!(store.destroy(&id).await, Err(CustodyError::Sealed));
    server.unseal().await.unwrap();
    assert_eq!(store.get(&id).await.unwrap().expose(), b"material");

    let elsewhere = BaoMount { mount: "nowhere".to_owned(), ..server.mount.clone() };
    assert_eq!(vault(&elsewhere).ready().await, Err(CustodyError::Unavailable));
    assert_eq!(vault(&elsewhere).put(&id, &secret("x")).await, Err(CustodyError::Unavailable));
    let stranger = BaoMount { token: "wrong".to_owned(), ..server.mount.clone() };
    assert_eq!(vault(&stranger).ready().await, Err(CustodyError::Unavailable));
    server.stop();
    assert_eq!(store.ready().await, Err(CustodyError::Unavailable));
    assert_eq!(store.destroy(&id).await, Err(CustodyError::Unavailable));
}

#[tokio::test]
async fn the_health_of_a_sealed_a_stopped_and_a_misconfigured_openbao_is_told_with_its_remedy() {
    let mut server = bao_sealed().await.unwrap();
    let ask = async |mount: &BaoMount| Custody::Vault(vault(mount)).health().await;
    let well = ask(&server.mount).await;
    assert!(well.reachable && !well.sealed && well.message.is_empty(), "{well:?}");
    assert_eq!(well.role, Role::Active);
    assert!(well.version.starts_with(|c: char| c.is_ascii_digit()) && !well.latency.is_zero(), "{well:?}");
    let elsewhere = ask(&BaoMount { mount: "nowhere".to_owned(), ..server.mount.clone() }).await;
    let stranger = ask(&BaoMount { token: "wrong".to_owned(), ..server.mount.clone() }).await;
    for refused in [elsewhere, stranger] {
        assert!(refused.reachable && refused.message.contains("token"), "{refused:?}");
    }
    server.seal().await.unwrap();
    let sealed = ask(&server.mount).await;
    assert!(sealed.reachable && sealed.sealed && sealed.message.contains("unseal"), "{sealed:?}");
    assert_eq!((sealed.role, &sealed.version), (Role::Unknown, &well.version));
    server.stop();
    let gone = ask(&server.mount).await;
    assert!(!gone.reachable && gone.version.is_empty() && !gone.message.is_empty(), "{gone:?}");
}

#[tokio::test]
async fn a_store_that_takes_the_connection_and_says_nothing_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mute = BaoMount { address, token: "t".to_owned(), mount: "m".to_owned() };
    let health = Custody::Vault(vault(&mute)).health().await;
    assert!(!health.reachable && !health.sealed && !health.message.is_empty(), "{health:?}");
}

#[tokio::test]
async fn the_health_of_the_embedded_store_is_a_read_of_it() {
    let (_dir, db) = database().await;
    let open = Custody::Sealed(SealedStore::open(db.clone(), &kek(1)).await.unwrap()).health().await;
    assert!(open.reachable && !open.sealed && open.message.is_empty(), "{open:?}");
    assert_eq!((open.role, open.version.as_str()), (Role::Active, env!("CARGO_PKG_VERSION")));
    let locked = Custody::Sealed(SealedStore::locked(db.clone())).health().await;
    assert!(locked.reachable && locked.sealed && locked.message.contains("unseal"), "{locked:?}");
    db.close().await;
    let gone = Custody::Sealed(SealedStore::locked(db)).health().await;
    assert!(!gone.reachable && !gone.message.is_empty(), "{gone:?}");
}

#[test]
fn an_address_that_is_no_url_is_refused() {
    let at =
        |address: &str| BaoMount { address: address.to_owned(), token: String::new(), mount: String::new() };
    for address in ["", "bao:8200", "http://", "https://[::1", "ftp://bao"] {
        let at = at(address);
        let settings = VaultSettings {
            address: at.address,
            token: secret("t"),
            ca_certificates: Vec::new(),
            namespace: None,
            mount: "secret".to_owned(),
            prefix: String::new(),
            timeout: Duration::from_secs(1),
        };
        assert!(matches!(VaultStore::new(&settings), Err(VaultError::Address)), "{address}");
    }
}
