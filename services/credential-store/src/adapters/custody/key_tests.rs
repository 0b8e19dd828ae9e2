//! Where the key-encryption key comes from, sealed starts, and rotation with every stop in between.

use super::envelope::Purpose;
use super::key_files::{Form, KeyFiles};
use super::passphrase::Wrapped;
use super::ring::Loaded;
use super::{AdminError, CustodyError, Kek, KekError, KeySource, OpenError, SealedStore};
use crate::MIGRATIONS;
use crate::domain::kek::KekState;
use crate::store::kek::{self, KekRow};
use crate::store::testing::{custody_rows, forget_key_names, postgres_files};
use keywright_domain::clock::Clock;
use keywright_domain::ids::VersionId;
use keywright_domain::secret::Secret;
use keywright_storage::{Db, Dialect, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";
const MINUTE: i64 = 60_000_000;

struct World {
    data: TempDir,
    db: Db,
    micros: Arc<AtomicI64>,
}

impl World {
    async fn new() -> Self {
        Self::on(None).await
    }

    async fn on(url: Option<String>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let micros = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let source = url.map_or_else(|| Source::Directory(data.path().into()), Source::Postgres);
        let clock = Clock::Manual(micros.clone());
        let db = Db::open(&source, "credential", &MIGRATIONS, clock).await.unwrap();
        Self { data, db, micros }
    }

    fn files(&self) -> KeyFiles {
        KeyFiles::of(self.data.path())
    }

    async fn start(&self) -> Result<SealedStore, OpenError> {
        SealedStore::start(self.db.clone(), KeySource::files(self.data.path(), None)).await
    }

    async fn under_passphrase() -> (Self, SealedStore) {
        let world = Self::new().await;
        SealedStore::create_under_passphrase(&world.db, world.data.path(), secret(PASSPHRASE)).await.unwrap();
        let store = world.start().await.unwrap();
        (world, store)
    }

    async fn rows(&self, state: KekState) -> Vec<KekRow> {
        kek::all(&self.db).await.unwrap().into_iter().filter(|row| row.state == state).collect()
    }

    fn pass(&self, micros: i64) {
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }

    fn key_file_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.files().folder()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn secret(text: &str) -> Secret {
    Secret::from_text(text.to_owned())
}

fn nothing() -> Secret {
    secret("")
}

async fn fill(store: &SealedStore, count: usize) -> Vec<VersionId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = VersionId::random().unwrap();
        store.put(&id, &secret(id.as_str())).await.unwrap();
        ids.push(id);
    }
    ids
}

async fn all_open(store: &SealedStore, ids: &[VersionId]) {
    for id in ids {
        assert_eq!(store.get(id).await.unwrap().expose(), id.as_str().as_bytes());
    }
}

/// The transaction of a rotation, without anything after it.
async fn switch(world: &World, store: &SealedStore, present: &str, new: &str) -> super::Turn {
    let turn = store.prepare(secret(present), secret(new)).await.unwrap();
    let mut tx = world.db.begin_internal("a test's rotation").await.unwrap();
    assert!(store.switch(&mut tx, &turn).await.unwrap());
    tx.commit().await.unwrap();
    turn
}

async fn rotate(world: &World, store: &SealedStore) {
    let turn = switch(world, store, "", "").await;
    store.switched(turn).await;
    store.maintain().await.unwrap();
}

#[tokio::test]
async fn a_store_under_a_passphrase_starts_sealed_and_opens_by_it_alone() {
    let (world, store) = World::under_passphrase().await;
    let id = VersionId::random().unwrap();
    assert_eq!(store.put(&id, &secret("x")).await, Err(CustodyError::Sealed));
    assert_eq!(store.get(&id).await.err(), Some(CustodyError::Sealed));
    assert_eq!(store.ready().await, Err(CustodyError::Sealed));
    assert_eq!(store.destroy(&id).await, Ok(()), "destroying needs no key");

    assert_eq!(store.unseal(secret("wrong horse battery")).await, Err(AdminError::PassphraseIncorrect));
    assert_eq!(store.ready().await, Err(CustodyError::Sealed));
    store.unseal(secret(PASSPHRASE)).await.unwrap();
    store.unseal(secret("anything: it is open")).await.unwrap();
    let ids = fill(&store, 2).await;

    let replica = world.start().await.unwrap();
    assert_eq!(replica.ready().await, Err(CustodyError::Sealed), "each process for itself");
    store.seal().await.unwrap();
    assert_eq!(store.get(&ids[0]).await.err(), Some(CustodyError::Sealed));
    store.unseal(secret(PASSPHRASE)).await.unwrap();
    all_open(&store, &ids).await;

    let file = world.data.path().join("passphrase");
    std::fs::write(&file, format!("{PASSPHRASE}\r\nsecond line")).unwrap();
    let by_file = KeySource::files(world.data.path(), Some(file.clone()));
    all_open(&SealedStore::start(world.db.clone(), by_file).await.unwrap(), &ids).await;
    std::fs::write(&file, "another passphrase").unwrap();
    let by_file = KeySource::files(world.data.path(), Some(file));
    let refused = SealedStore::start(world.db.clone(), by_file).await;
    assert!(matches!(refused, Err(OpenError::Key(KekError::Passphrase))));
}

#[tokio::test]
async fn wrong_passphrases_are_counted_and_the_right_one_must_wait_too() {
    let (world, store) = World::under_passphrase().await;
    for _ in 0..5 {
        assert_eq!(store.unseal(secret("wrong")).await, Err(AdminError::PassphraseIncorrect));
    }
    assert_eq!(store.unseal(secret(PASSPHRASE)).await, Err(AdminError::TooManyTries));
    world.pass(MINUTE);
    store.unseal(secret(PASSPHRASE)).await.unwrap();
}

#[tokio::test]
async fn a_first_key_under_a_passphrase_is_made_once() {
    let (world, _) = World::under_passphrase().await;
    let again =
        |passphrase| SealedStore::create_under_passphrase(&world.db, world.data.path(), secret(passphrase));
    again(PASSPHRASE).await.unwrap();
    assert!(matches!(again("another passphrase").await, Err(OpenError::Key(KekError::Passphrase))));
    assert_eq!(world.key_file_names().len(), 1);

    let plain = World::new().await;
    plain.start().await.unwrap();
    let made = SealedStore::create_under_passphrase(&plain.db, plain.data.path(), secret(PASSPHRASE)).await;
    assert!(matches!(made, Err(OpenError::Key(KekError::InTheClear))));
    let short = SealedStore::create_under_passphrase(&plain.db, plain.data.path(), secret("short")).await;
    assert!(matches!(short, Err(OpenError::Key(KekError::Unfit(_)))));
    let store = plain.start().await.unwrap();
    assert_eq!(store.seal().await, Err(AdminError::NoPassphrase));
    assert_eq!(store.unseal(secret(PASSPHRASE)).await, Err(AdminError::NoPassphrase));
}

#[tokio::test]
async fn another_key_in_the_place_of_the_right_one_is_refused_and_nothing_is_touched() {
    let world = World::new().await;
    let store = world.start().await.unwrap();
    let ids = fill(&store, 3).await;
    let before = custody_rows(&world.db).await;
    let path = world.files().first_path();
    let right = std::fs::read(&path).unwrap();

    std::fs::write(&path, [7; 32]).unwrap();
    assert!(matches!(world.start().await, Err(OpenError::WrongKey)));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(world.start().await, Err(OpenError::Key(KekError::Missing { .. }))));
    assert!(world.key_file_names().is_empty(), "no new key is made over an old database");
    let given = SealedStore::start(world.db.clone(), KeySource::Given(Kek::random().unwrap())).await;
    assert!(matches!(given, Err(OpenError::WrongKey)));
    assert_eq!(custody_rows(&world.db).await, before);

    let given = Kek::new(Secret::new(right)).unwrap();
    let store = SealedStore::start(world.db.clone(), KeySource::Given(given)).await.unwrap();
    all_open(&store, &ids).await;
    assert_eq!(store.prepare(nothing(), nothing()).await.err(), Some(AdminError::Environment));
    assert_eq!(store.seal().await, Err(AdminError::NoPassphrase));
}

#[tokio::test]
async fn a_swapped_file_is_refused_by_the_unsealing_too() {
    let (world, store) = World::under_passphrase().await;
    let before = custody_rows(&world.db).await;
    let name = world.key_file_names().remove(0);
    let path = world.files().folder().join(&name);
    let other = Wrapped::seal(&Kek::random().unwrap(), &secret(PASSPHRASE)).unwrap();

    std::fs::write(&path, other.bytes().unwrap()).unwrap();
    assert_eq!(store.unseal(secret(PASSPHRASE)).await, Err(AdminError::WrongKey));
    let right = world.rows(KekState::Current).await.remove(0).id;
    let forged = String::from_utf8(other.bytes().unwrap()).unwrap();
    let forged = forged.replace(other.id().unwrap().as_str(), right.as_str());
    std::fs::write(&path, forged).unwrap();
    assert_eq!(store.unseal(secret(PASSPHRASE)).await, Err(AdminError::PassphraseIncorrect));
    assert_eq!(store.ready().await, Err(CustodyError::Sealed));
    assert_eq!(custody_rows(&world.db).await, before);
}

#[tokio::test]
async fn a_key_from_before_keys_had_names_gets_one() {
    let world = World::new().await;
    let ids = fill(&world.start().await.unwrap(), 3).await;
    forget_key_names(&world.db).await;
    let path = world.files().first_path();
    let right = std::fs::read(&path).unwrap();
    std::fs::write(&path, [7; 32]).unwrap();
    assert!(matches!(world.start().await, Err(OpenError::WrongKey)));
    std::fs::write(&path, right).unwrap();
    let store = world.start().await.unwrap();
    all_open(&store, &ids).await;
    rotate(&world, &store).await;
    all_open(&world.start().await.unwrap(), &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_rewraps_data_keys_alone_while_everything_works() {
    rotation_keeps_its_promises(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_keeps_the_same_promises_on_postgres() {
    let url = keywright_kit::postgres::postgres_database().await.unwrap();
    rotation_keeps_its_promises(World::on(Some(url)).await).await;
}

async fn rotation_keeps_its_promises(world: World) {
    let store = world.start().await.unwrap();
    let mut ids = fill(&store, 230).await;
    let of = |rows: Vec<(String, Vec<u8>)>, what: &'static str| -> Vec<(String, Vec<u8>)> {
        rows.into_iter().filter(|(name, _)| name.starts_with(what)).collect()
    };
    let before = custody_rows(&world.db).await;
    let old = world.rows(KekState::Current).await.remove(0).id;

    let busy = store.clone();
    let (seen, known) = (Arc::new(AtomicI64::new(0)), ids.clone());
    let (count, stop) = (seen.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let ending = stop.clone();
    let work = tokio::spawn(async move {
        let mut made = Vec::new();
        while !ending.load(Ordering::SeqCst) {
            made.extend(fill(&busy, 1).await);
            all_open(&busy, &made[made.len() - 1..]).await;
            all_open(&busy, &known[made.len() % known.len()..][..1]).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
        made
    });
    rotate(&world, &store).await;
    let done = seen.load(Ordering::SeqCst);
    while seen.load(Ordering::SeqCst) == done {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::SeqCst);
    ids.extend(work.await.unwrap());
    // A put that began under the old key may have been the last under it.
    store.maintain().await.unwrap();

    let after = custody_rows(&world.db).await;
    let (first, second) = (of(before.clone(), "material"), of(after.clone(), "material"));
    assert!(first.iter().all(|row| second.contains(row)), "material is not touched");
    let wraps = of(after, "data key");
    assert!(
        of(before.clone(), "data key").iter().all(|row| !wraps.contains(row)),
        "every data key is wrapped anew"
    );
    let new = world.rows(KekState::Current).await.remove(0).id;
    assert_ne!(old, new);
    let (all, under) = kek::counts(&world.db, new.as_str()).await.unwrap();
    assert_eq!((all, under), (ids.len() as i64, ids.len() as i64));
    assert!(
        world.rows(KekState::Retiring).await.is_empty() && world.rows(KekState::Retired).await.is_empty()
    );
    assert_eq!(world.key_file_names(), [format!("key-encryption.{new}.key")]);
    let Some(Form::Plain(kek)) = world.files().find(&new).unwrap() else { panic!("it lies in the clear") };
    let attacker = Loaded::new(kek).unwrap();
    for ((name, wrap), id) in of(before.clone(), "data key").iter().zip(sorted(&ids[..230])) {
        assert!(name.ends_with(id.as_str()));
        assert!(attacker.open(Purpose::DataKey(&id), wrap).is_err(), "an old wrap is worthless by now");
    }
    assert_gone(&world, &of(before, "data key")).await;
    all_open(&store, &ids).await;
    all_open(&world.start().await.unwrap(), &ids).await;
}

fn sorted(ids: &[VersionId]) -> Vec<VersionId> {
    let mut ids = ids.to_vec();
    ids.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    ids
}

/// The old wraps stand in no file of the database any more (some of them: the files are large).
async fn assert_gone(world: &World, wraps: &[(String, Vec<u8>)]) {
    let folder = match world.db.dialect() {
        Dialect::Sqlite => world.data.path().to_owned(),
        Dialect::Postgres => postgres_files(&world.db).await,
    };
    let mut looked_at = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let Ok(bytes) = std::fs::read(entry.unwrap().path()) else { continue };
        looked_at += bytes.len();
        for (name, wrap) in wraps.iter().step_by(50) {
            assert!(!bytes.windows(32).any(|window| window == &wrap[13..45]), "{name}");
        }
    }
    assert!(looked_at > 100_000);
}

#[tokio::test]
async fn a_replica_follows_when_it_meets_the_new_key() {
    let world = World::new().await;
    let (one, other) = (world.start().await.unwrap(), world.start().await.unwrap());
    let ids = fill(&one, 3).await;
    all_open(&other, &ids).await;
    rotate(&world, &one).await;
    all_open(&other, &ids).await;

    rotate(&world, &one).await;
    let late = fill(&other, 2).await;
    all_open(&one, &late).await;
    let current = world.rows(KekState::Current).await.remove(0).id;
    assert_eq!(kek::counts(&world.db, current.as_str()).await.unwrap(), (5, 5), "nothing under a dead key");
    other.maintain().await.unwrap();
    all_open(&other, &ids).await;
}

#[tokio::test]
async fn a_replica_without_the_passphrase_is_sealed_by_a_rotation_elsewhere() {
    let (world, one) = World::under_passphrase().await;
    one.unseal(secret(PASSPHRASE)).await.unwrap();
    let other = world.start().await.unwrap();
    other.unseal(secret(PASSPHRASE)).await.unwrap();
    let ids = fill(&one, 2).await;
    all_open(&other, &ids).await;
    let turn = switch(&world, &one, PASSPHRASE, "a new passphrase").await;
    one.switched(turn).await;
    one.maintain().await.unwrap();

    assert_eq!(other.get(&ids[0]).await.err(), Some(CustodyError::Sealed));
    assert_eq!(other.unseal(secret(PASSPHRASE)).await, Err(AdminError::PassphraseIncorrect));
    other.unseal(secret("a new passphrase")).await.unwrap();
    all_open(&other, &ids).await;
}

#[tokio::test]
async fn a_rotation_that_died_before_its_transaction_leaves_nothing() {
    let world = World::new().await;
    let store = world.start().await.unwrap();
    let ids = fill(&store, 2).await;
    let turn = store.prepare(nothing(), nothing()).await.unwrap();
    drop(store);

    let store = world.start().await.unwrap();
    all_open(&store, &ids).await;
    store.maintain().await.unwrap();
    assert_eq!(world.key_file_names().len(), 2, "its request may be alive");
    world.pass(11 * MINUTE);
    store.maintain().await.unwrap();
    assert_eq!(world.key_file_names(), ["key-encryption.key"]);
    let mut tx = world.db.begin_internal("the slow request").await.unwrap();
    assert!(!store.switch(&mut tx, &turn).await.unwrap());
    drop(tx);
    rotate(&world, &store).await;
    all_open(&store, &ids).await;
}

#[tokio::test]
async fn of_two_rotations_the_later_announced_one_goes_on_and_a_third_waits() {
    let world = World::new().await;
    let store = world.start().await.unwrap();
    let ids = fill(&store, 2).await;
    let slow = store.prepare(nothing(), nothing()).await.unwrap();
    let turn = switch(&world, &store, "", "").await;
    let mut tx = world.db.begin_internal("the slow request").await.unwrap();
    assert!(!store.switch(&mut tx, &slow).await.unwrap());
    drop(tx);
    store.abandon(&slow).await;
    store.switched(turn).await;
    assert_eq!(store.prepare(nothing(), nothing()).await.err(), Some(AdminError::InProgress));
    store.maintain().await.unwrap();
    store.abandon(&slow).await;
    assert_eq!(world.key_file_names().len(), 1);
    all_open(&store, &ids).await;
    rotate(&world, &store).await;
}

#[tokio::test]
async fn a_rotation_that_died_after_its_transaction_goes_on_at_the_next_start() {
    let world = World::new().await;
    let store = world.start().await.unwrap();
    let ids = fill(&store, 5).await;
    let turn = switch(&world, &store, "", "").await;
    drop(store);

    let store = world.start().await.unwrap();
    all_open(&store, &ids).await;
    let (all, under) = kek::counts(&world.db, turn.id.as_str()).await.unwrap();
    assert_eq!((all, under), (5, 0));
    store.maintain().await.unwrap();
    assert_eq!(kek::counts(&world.db, turn.id.as_str()).await.unwrap(), (5, 5));
    assert_eq!(world.key_file_names(), [format!("key-encryption.{}.key", turn.id)]);

    // Killed after the old key retired, before its file went.
    let turn = switch(&world, &store, "", "").await;
    let old = world.files().find(&turn.previous).unwrap();
    drop(store);
    let store = world.start().await.unwrap();
    store.maintain().await.unwrap();
    let Some(Form::Plain(old)) = old else { panic!("the old key lay in the clear") };
    world.files().write_plain(&old).unwrap();
    let mut tx = world.db.begin_internal("a test turns the time back").await.unwrap();
    assert!(kek::advance(&mut tx, &turn.previous, KekState::Gone, KekState::Retired).await.unwrap());
    tx.commit().await.unwrap();
    drop(store);
    let store = world.start().await.unwrap();
    store.maintain().await.unwrap();
    assert_eq!(world.key_file_names(), [format!("key-encryption.{}.key", turn.id)]);
    all_open(&store, &ids).await;

    // A file that somebody put back is not ours to remove.
    world.files().write_plain(&old).unwrap();
    store.maintain().await.unwrap();
    assert_eq!(world.key_file_names().len(), 2);
    all_open(&world.start().await.unwrap(), &ids).await;
}

#[tokio::test]
async fn a_missing_older_key_is_told_before_anything_is_touched() {
    let world = World::new().await;
    let store = world.start().await.unwrap();
    fill(&store, 2).await;
    switch(&world, &store, "", "").await;
    drop(store);
    std::fs::remove_file(world.files().first_path()).unwrap();
    let before = custody_rows(&world.db).await;
    assert!(matches!(world.start().await, Err(OpenError::OlderKey(_))));
    assert_eq!(custody_rows(&world.db).await, before);
}

#[tokio::test]
async fn the_new_passphrase_alone_opens_what_still_lies_under_the_old_key() {
    let (world, store) = World::under_passphrase().await;
    store.unseal(secret(PASSPHRASE)).await.unwrap();
    let ids = fill(&store, 3).await;
    assert_eq!(store.prepare(nothing(), nothing()).await.err(), Some(AdminError::PassphraseRequired));
    let wrong = store.prepare(secret("wrong"), nothing()).await;
    assert_eq!(wrong.err(), Some(AdminError::PassphraseIncorrect));
    let weak = store.prepare(secret(PASSPHRASE), secret("weak")).await;
    assert!(matches!(weak.err(), Some(AdminError::Unfit(_))));
    switch(&world, &store, PASSPHRASE, "a new passphrase").await;
    drop(store);

    let store = world.start().await.unwrap();
    assert_eq!(store.unseal(secret(PASSPHRASE)).await, Err(AdminError::PassphraseIncorrect));
    store.unseal(secret("a new passphrase")).await.unwrap();
    all_open(&store, &ids).await;
    store.maintain().await.unwrap();
    all_open(&store, &ids).await;
    assert_eq!(world.key_file_names().len(), 1, "neither the old key nor the bridge is left");
}

#[tokio::test]
async fn a_key_in_the_clear_gets_under_a_passphrase_by_a_rotation() {
    let world = World::new().await;
    let store = world.start().await.unwrap();
    let ids = fill(&store, 2).await;
    let turn = switch(&world, &store, "", PASSPHRASE).await;
    store.switched(turn).await;
    store.maintain().await.unwrap();
    assert!(world.key_file_names()[0].ends_with(".sealed") && world.key_file_names().len() == 1);
    let store = world.start().await.unwrap();
    assert_eq!(store.ready().await, Err(CustodyError::Sealed));
    store.unseal(secret(PASSPHRASE)).await.unwrap();
    all_open(&store, &ids).await;
}
