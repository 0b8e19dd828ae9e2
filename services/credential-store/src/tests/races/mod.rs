//! The usage gate under fire: two processes on one database do at random what meets at a credential, and after each
//! round nothing that is used is gone, no version is lost, and who was told "done" was told the truth.
//!
//! The seed is printed; `KEYWRIGHT_RACES_SEED` runs it again, `KEYWRIGHT_TEST_FULL` runs thousands of rounds.

mod deed;
mod round;
mod worker;

use super::world::World;
use crate::store::testing::{broken_promises, switched};
use keywright_domain::ids::{CredentialId, PrincipalId};
use keywright_storage::Source;
use round::{Chance, Tally};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use worker::{Place, Worker};

/// Rounds that run beside each other, on credentials of their own.
const LANES: u64 = 4;

fn is_long() -> bool {
    std::env::var_os("KEYWRIGHT_TEST_FULL").is_some()
}

fn rounds() -> u64 {
    if is_long() { 3000 } else { 240 }
}

fn seed() -> u64 {
    match std::env::var("KEYWRIGHT_RACES_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => RandomState::new().build_hasher().finish() >> 32,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_sqlite_file() {
    let world = World::new().await;
    let place = Place::Directory(world.dir.path().to_owned());
    under_fire(world, place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_postgresql() {
    let url = keywright_kit::postgres::postgres_database().await.unwrap();
    let world = World::at(Source::Postgres(url.clone())).await;
    under_fire(world, Place::Postgres(url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_goes_on_where_a_killed_process_left_it_on_sqlite() {
    let world = World::new().await;
    let place = Place::Directory(world.dir.path().to_owned());
    killed_in_a_switch(world, place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_goes_on_where_a_killed_process_left_it_on_postgresql() {
    let url = keywright_kit::postgres::postgres_database().await.unwrap();
    killed_in_a_switch(World::at(Source::Postgres(url.clone())).await, Place::Postgres(url)).await;
}

async fn killed_in_a_switch(world: World, place: Place) {
    const SERVERS: usize = 40;
    let (tenant, id) = (world.tenant().await, PrincipalId::random().unwrap());
    let owner = worker::owner(&tenant, &id);
    let (from, to) = (world.saved(&owner).await.id, world.saved(&owner).await.id);
    for n in 0..SERVERS {
        let server = world.server(&owner, &format!("web{n:02}")).await.id;
        world.bind(&owner, &server, &from).await.unwrap();
    }
    let switch = deed::Deed::Switch { from, to, test: true, key: "once".to_owned() };
    let process = Worker::start(&place, &tenant, &id);
    let ordered = process.order(0, switch.clone());
    let killed = async {
        let begun =
            keywright_kit::eventually(Duration::from_secs(60), async || switched(&world.db).await >= 2);
        assert!(begun.await, "nothing was switched");
        process.kill().await;
    };
    tokio::select! {
        answer = ordered => panic!("answered before it was killed: {answer:?}"),
        () = killed => {}
    }
    let before = switched(&world.db).await;
    assert!((2..SERVERS as i64).contains(&before), "{before} of {SERVERS}");

    // The dead one's claim lapses.
    world.pass(Duration::from_secs(76));
    let answer = switch.run(&world, &owner).await;
    assert_eq!(answer, deed::Answer::Switched { switched: 40 });
    let tested = world.prober.tested.lock().unwrap().len() as i64;
    assert_eq!(tested, SERVERS as i64 - before, "what was switched is not tried again");
}

/// What finds nothing must be able to find something. The worker processes of the other tests enter here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_promise_is_seen() {
    if worker::serve().await {
        return;
    }
    let world = World::new().await;
    let owner = super::world::owner(&world.tenant().await);
    let (used, held) = (world.saved(&owner).await.id, world.saved(&owner).await.id);
    let server = world.server(&owner, "web").await.id;
    world.bind(&owner, &server, &used).await.unwrap();
    deed::Deed::AddReference { credential: held.clone(), owner: "acc_1".to_owned() }
        .run(&world, &owner)
        .await;
    assert!(broken_promises(&world.db, &[&used, &held]).await.is_empty());
    for credential in [&used, &held] {
        let mut tx = world.db.begin_internal("a test deletes what is used").await.unwrap();
        crate::store::credential::delete(&mut tx, &CredentialId::parse(credential).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let broken = broken_promises(&world.db, &[&used, &held]).await;
    assert_eq!(broken.len(), 2, "{broken:?}");
}

async fn under_fire(world: World, place: Place) {
    let seed = seed();
    println!("KEYWRIGHT_RACES_SEED={seed}");
    let tenant = world.tenant().await;
    let owner = PrincipalId::random().unwrap();
    let processes = [Worker::start(&place, &tenant, &owner), Worker::start(&place, &tenant, &owner)];
    let (world, processes) = (Arc::new(world), Arc::new(processes));
    let lanes = (0..LANES).map(|lane| {
        let (world, processes) = (world.clone(), processes.clone());
        let caller = worker::owner(&tenant, &owner);
        tokio::spawn(async move {
            let mut tally = Tally::default();
            for number in (lane..rounds()).step_by(LANES as usize) {
                let chance = Chance::new(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9)));
                round::run(&world, &processes, &caller, number, chance, &mut tally).await;
            }
            tally
        })
    });
    let mut all = Tally::default();
    for lane in lanes.collect::<Vec<_>>() {
        all.add(&lane.await.unwrap());
    }
    println!("{} rounds: {all}", rounds());
    all.assert_everything_happened(is_long());
}
