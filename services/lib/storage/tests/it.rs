//! One suite for both databases: what a service relies on holds on SQLite and on PostgreSQL alike.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use keywright_domain::clock::{Clock, Instant};
use keywright_domain::ids::EventId;
use keywright_storage::idempotency::{self, Scope, Seen, Turn, look, remember};
use keywright_storage::{Columns, Db, Error, Intent, Outcome, Source, lease, outbox};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

struct Both {
    time: Arc<AtomicI64>,
    databases: Vec<Db>,
    _dir: tempfile::TempDir,
}

async fn both() -> Both {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(1_700_000_000_000_000));
    let migrations = sqlx::migrate!("./tests/migrations");
    let mut databases = Vec::new();
    for source in [
        Source::Directory(dir.path().to_owned()),
        Source::Postgres(keywright_kit::postgres_database().await.unwrap()),
    ] {
        databases.push(Db::open(&source, "sample", &migrations, Clock::Manual(time.clone())).await.unwrap());
        // Opened again, as a second replica would: nothing is made twice.
        Db::open(&source, "sample", &migrations, Clock::Manual(time.clone())).await.unwrap();
    }
    Both { time, databases, _dir: dir }
}

async fn add_one(db: &Db) -> Result<(), Error> {
    db.serialized(|| async {
        let mut tx = db.begin_internal("test").await?;
        let row = sqlx::query("SELECT value FROM counter WHERE id = 'one'").fetch_one(tx.conn()).await?;
        let value: i64 = row.int("value")?;
        sqlx::query("UPDATE counter SET value = $1 WHERE id = 'one'")
            .bind(value + 1)
            .execute(tx.conn())
            .await?;
        tx.commit().await
    })
    .await
}

#[tokio::test]
async fn no_update_is_lost_between_concurrent_transactions() {
    for db in both().await.databases {
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move { add_one(&db).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let row = sqlx::query("SELECT value FROM counter").fetch_one(db.read()).await.unwrap();
        assert_eq!(row.int::<i64>("value").unwrap(), 16);
    }
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    for db in both().await.databases {
        let mut tx = db.begin_internal("test").await.unwrap();
        sqlx::query("UPDATE counter SET value = 9").execute(tx.conn()).await.unwrap();
        drop(tx);
        let row = sqlx::query("SELECT value FROM counter").fetch_one(db.read()).await.unwrap();
        assert_eq!(row.int::<i64>("value").unwrap(), 0);
    }
}

#[tokio::test]
async fn a_lease_has_one_holder_and_growing_fences() {
    let both = both().await;
    for db in &both.databases {
        let span = Duration::from_secs(10);
        let first = lease::acquire(db, "rot_1", "a", span).await.unwrap().unwrap();
        assert!(lease::acquire(db, "rot_1", "b", span).await.unwrap().is_none());
        assert!(lease::renew(db, &first, span).await.unwrap());
        both.time.fetch_add(11_000_000, Ordering::SeqCst);
        let second = lease::acquire(db, "rot_1", "b", span).await.unwrap().unwrap();
        assert!(second.fence > first.fence);
        assert!(!lease::renew(db, &first, span).await.unwrap(), "the old holder has to stop");
        lease::release(db, &second).await.unwrap();
        let third = lease::acquire(db, "rot_1", "a", span).await.unwrap().unwrap();
        assert!(third.fence > second.fence);
    }
}

#[tokio::test]
async fn a_lease_from_before_the_clock_went_back_ends_at_once() {
    let both = both().await;
    for db in &both.databases {
        let (span, hour) = (Duration::from_secs(10), 3_600_000_000);
        let first = lease::acquire(db, "rot_2", "a", span).await.unwrap().unwrap();
        both.time.fetch_sub(hour, Ordering::SeqCst);
        let second = lease::acquire(db, "rot_2", "b", span).await.unwrap().unwrap();
        assert!(second.fence > first.fence);
        assert!(!lease::renew(db, &first, span).await.unwrap(), "the old holder has to stop");
        let shorter = Duration::from_secs(4);
        assert!(lease::acquire(db, "rot_2", "a", shorter).await.unwrap().is_none(), "it holds as it should");
        both.time.fetch_add(hour, Ordering::SeqCst);
    }
}

async fn owe(db: &Db) -> Result<(), Error> {
    let intent = Intent::durable(EventId::random().unwrap());
    let mut tx = db.begin(&intent).await?;
    intent.done(&mut tx, Outcome::succeeded().with("text", "x".repeat(4096))).await?;
    tx.commit().await
}

#[tokio::test]
async fn a_full_disk_costs_a_transaction_and_nothing_after_it() {
    let disk = keywright_kit::SmallDisk::new("2m").unwrap();
    let migrations = sqlx::migrate!("./tests/migrations");
    let db = Db::open(&Source::Directory(disk.path()), "sample", &migrations, Clock::System).await.unwrap();
    disk.fill();
    let mut refused = Ok(());
    while refused.is_ok() {
        refused = owe(&db).await;
    }
    assert!(owe(&db).await.is_err() && db.ready().await.is_ok());
    disk.free();
    owe(&db).await.unwrap();
    add_one(&db).await.unwrap();
}

#[tokio::test]
async fn an_outcome_is_owed_exactly_if_its_transaction_committed() {
    for db in both().await.databases {
        let event = EventId::random().unwrap();
        let intent = Intent::durable(event.clone());
        let mut tx = db.begin(&intent).await.unwrap();
        intent.done(&mut tx, Outcome::succeeded().with("a", "b")).await.unwrap();
        drop(tx);
        assert!(outbox::oldest(&db, 10).await.unwrap().is_empty());
        let mut tx = db.begin(&intent).await.unwrap();
        intent.done(&mut tx, Outcome::succeeded().with("a", "b")).await.unwrap();
        tx.commit().await.unwrap();
        let owed = outbox::oldest(&db, 10).await.unwrap();
        assert_eq!(owed.len(), 1);
        assert_eq!(owed[0].event, event);
        outbox::delivered(&db, &[owed[0].id.clone()]).await.unwrap();
        assert!(outbox::oldest(&db, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_spooled_intent_goes_before_its_outcome() {
    for db in both().await.databases {
        let intent = Intent::spooled(EventId::random().unwrap(), b"record".to_vec());
        let mut tx = db.begin(&intent).await.unwrap();
        intent.done(&mut tx, Outcome::succeeded()).await.unwrap();
        tx.commit().await.unwrap();
        let owed = outbox::oldest(&db, 10).await.unwrap();
        assert_eq!(owed[0].owed, outbox::Owed::Intent(b"record".to_vec()));
        assert_eq!(owed.len(), 2);
    }
}

#[tokio::test]
async fn an_answer_is_remembered_for_its_lifetime() {
    let both = both().await;
    for db in &both.databases {
        let scope = |hash: &str| Scope {
            caller: "prn_1".to_owned(),
            method: "CreateTenant",
            key: "k".to_owned(),
            request_hash: hash.to_owned(),
        };
        let mut tx = db.begin_internal("test").await.unwrap();
        assert_eq!(look(&mut tx, &scope("h")).await.unwrap(), Seen::New);
        remember(&mut tx, &scope("h"), b"answer").await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = db.begin_internal("test").await.unwrap();
        assert_eq!(look(&mut tx, &scope("h")).await.unwrap(), Seen::Same(b"answer".to_vec()));
        assert_eq!(look(&mut tx, &scope("other")).await.unwrap(), Seen::Different);
        drop(tx);
        both.time.fetch_add(25 * 3600 * 1_000_000, Ordering::SeqCst);
        let mut tx = db.begin_internal("test").await.unwrap();
        assert_eq!(look(&mut tx, &scope("other")).await.unwrap(), Seen::New);
        assert!(tx.now() > Instant::from_micros(0));
    }
}

fn scope(hash: &str) -> Scope {
    Scope {
        caller: "prn_1".to_owned(),
        method: "CreateTenant",
        key: "k".to_owned(),
        request_hash: hash.to_owned(),
    }
}

#[tokio::test]
async fn an_old_key_is_free_again_and_swept() {
    let both = both().await;
    for db in &both.databases {
        let answer = async |hash: &str| {
            let mut tx = db.begin_internal("test").await.unwrap();
            remember(&mut tx, &scope(hash), hash.as_bytes()).await.map(|()| tx)
        };
        answer("first").await.unwrap().commit().await.unwrap();
        assert!(
            matches!(answer("second").await, Err(Error::Again(_))),
            "a remembered answer is never replaced"
        );
        both.time.fetch_add(25 * 3600 * 1_000_000, Ordering::SeqCst);
        // Not swept yet, and in nobody's way.
        answer("second").await.unwrap().commit().await.unwrap();
        let mut tx = db.begin_internal("test").await.unwrap();
        assert_eq!(look(&mut tx, &scope("second")).await.unwrap(), Seen::Same(b"second".to_vec()));
        drop(tx);
        both.time.fetch_add(25 * 3600 * 1_000_000, Ordering::SeqCst);
        idempotency::sweep(db).await.unwrap();
        let row = sqlx::query("SELECT COUNT(*) AS n FROM idempotency").fetch_one(db.read()).await.unwrap();
        assert_eq!(row.int::<i64>("n").unwrap(), 0);
    }
}

#[tokio::test]
async fn of_concurrent_requests_one_has_the_turn_until_it_ends_or_lapses() {
    let both = both().await;
    for db in &both.databases {
        let span = Duration::from_secs(75);
        let claim = async |holder: &'static str, hash: &str| {
            idempotency::claim(db, &scope(hash), holder, span).await.unwrap()
        };
        let turns = all_at_once(db, span).await;
        assert_eq!(turns.iter().filter(|turn| **turn == Turn::Mine).count(), 1, "{turns:?}");
        assert!(turns.iter().all(|turn| matches!(turn, Turn::Mine | Turn::InProgress)), "{turns:?}");
        assert_eq!(claim("other", "different").await, Turn::InProgress);

        both.time.fetch_add(76 * 1_000_000, Ordering::SeqCst);
        assert_eq!(claim("second", "h").await, Turn::Mine, "the first one died");
        idempotency::release(db, &scope("h"), "first").await.unwrap();
        assert_eq!(claim("third", "h").await, Turn::InProgress, "the dead one's release comes too late");

        let mut tx = db.begin_internal("test").await.unwrap();
        remember(&mut tx, &scope("h"), b"answer").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(claim("third", "h").await, Turn::InProgress, "the answer may still be taken back");
        idempotency::release(db, &scope("h"), "second").await.unwrap();
        assert_eq!(claim("third", "h").await, Turn::Answered);
        assert_eq!(claim("third", "different").await, Turn::Answered);
    }
}

/// Eight that claim at once.
async fn all_at_once(db: &Db, span: Duration) -> Vec<Turn> {
    let tasks = (0..8).map(|n| {
        let db = db.clone();
        tokio::spawn(async move {
            let (scope, holder) = (scope("h"), format!("holder{n}"));
            db.serialized(|| idempotency::claim(&db, &scope, &holder, span)).await.unwrap()
        })
    });
    let mut turns = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        turns.push(task.await.unwrap());
    }
    turns
}
