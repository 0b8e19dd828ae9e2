//! The log on both databases: order, exactly once, nothing written over.

mod erasure;
mod kills;
mod plans;
mod queries;
mod segments;
mod tree;
mod watch;
mod world;

use crate::app::append::Appender;
use crate::app::close_interrupted::{AFTER, CloseInterrupted};
use crate::app::list_events::newest;
use crate::app::record_intent::{Intent, RecordIntent};
use crate::app::record_outcomes::{Outcome, RecordOutcomes};
use crate::store::event::{self, Event, Filter, Open};
use keywright_domain::clock::Clock;
use keywright_domain::ids::EventId;
use keywright_domain::reason::Reason;
use keywright_log::leaf::Clear;
use keywright_storage::{Columns, Db, Source};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub struct Log {
    db: Db,
    log: Appender,
    time: Arc<AtomicI64>,
    _dir: tempfile::TempDir,
}

async fn logs() -> Vec<Log> {
    let mut logs = Vec::new();
    for postgres in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let source = match postgres {
            false => Source::Directory(dir.path().to_owned()),
            true => Source::Postgres(keywright_kit::postgres_database().await.unwrap()),
        };
        let time = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let db = Db::open(&source, "audit", &crate::MIGRATIONS, Clock::Manual(time.clone())).await.unwrap();
        logs.push(Log { log: Appender::new(db.clone()), db, time, _dir: dir });
    }
    logs
}

fn intent(tenant: &str, target: &str) -> Intent {
    Intent {
        event: EventId::random().unwrap(),
        open: Open {
            actor_kind: "user".into(),
            tenant: tenant.into(),
            action: "server.register".into(),
            ..Open::default()
        },
        clear: Clear { actor: "prn_a".into(), target: target.into(), ..Clear::default() },
        spooled_at: None,
    }
}

fn outcome(event: &EventId, outcome: &'static str) -> Outcome {
    let details = BTreeMap::from([("n".to_owned(), "1".to_owned())]);
    Outcome { event: event.to_string(), outcome, reason: String::new(), details }
}

impl Log {
    async fn record(&self, intent: &Intent) -> i64 {
        RecordIntent { log: self.log.clone() }.run(intent.clone()).await.unwrap()
    }

    async fn end(&self, outcomes: &[Outcome]) {
        RecordOutcomes { log: self.log.clone() }.run(outcomes.to_vec()).await.unwrap();
    }

    async fn list(&self, filter: Filter) -> Vec<Event> {
        newest(&self.db, &filter, i64::MAX, 100).await.unwrap().0
    }

    async fn leaves(&self) -> Vec<(i64, String)> {
        let rows =
            sqlx::query("SELECT seq, kind FROM leaf ORDER BY seq").fetch_all(self.db.read()).await.unwrap();
        rows.iter().map(|row| (row.int("seq").unwrap(), row.text("kind").unwrap())).collect()
    }
}

#[tokio::test]
async fn concurrent_appends_are_in_order_without_gaps() {
    for log in logs().await {
        let log = Arc::new(log);
        let tasks: Vec<_> = (0..24)
            .map(|_| {
                let log = log.clone();
                tokio::spawn(async move { log.record(&intent("", "x")).await })
            })
            .collect();
        let mut positions = Vec::new();
        for task in tasks {
            positions.push(task.await.unwrap());
        }
        positions.sort_unstable();
        assert_eq!(positions, (0..24).collect::<Vec<i64>>());
    }
}

#[tokio::test]
async fn what_is_sent_twice_is_once_in_the_log() {
    for log in logs().await {
        let sent = intent("", "srv_1");
        assert_eq!(log.record(&sent).await, log.record(&sent).await);
        log.end(&[outcome(&sent.event, "succeeded"), outcome(&sent.event, "succeeded")]).await;
        log.end(&[outcome(&sent.event, "failed")]).await;
        assert_eq!(log.leaves().await, [(0, "intent".to_owned()), (1, "outcome".to_owned())]);
        let events = log.list(Filter::default()).await;
        assert_eq!((events[0].outcome.as_str(), events[0].details["n"].as_str()), ("succeeded", "1"));
    }
}

#[tokio::test]
async fn what_is_sent_at_once_is_in_order_and_once_whatever_is_written_together() {
    for log in logs().await {
        let sent: Vec<Intent> = (0..40).map(|number| intent("ten_a", &format!("srv_{number}"))).collect();
        // Each intent three times, from as many tasks as there are intents.
        let tasks = sent.iter().map(|sent| {
            let (intake, sent) = (RecordIntent { log: log.log.clone() }, sent.clone());
            tokio::spawn(async move {
                let (one, two) = tokio::join!(intake.run(sent.clone()), intake.run(sent.clone()));
                [one.unwrap(), two.unwrap(), intake.run(sent).await.unwrap()]
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut positions = Vec::new();
        for task in tasks {
            let [one, two, three] = task.await.unwrap();
            assert_eq!((one, one), (two, three));
            positions.push(one);
        }
        let wanted: Vec<i64> = (0..40).collect();
        let mut sorted = positions.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, wanted);
        // Closed, told what really happened, told again, and one that nobody began: all in one write.
        let (first, second, nobody) = (&sent[0].event, &sent[1].event, EventId::random().unwrap());
        log.end(&[
            outcome(first, "interrupted"),
            outcome(first, "succeeded"),
            outcome(first, "failed"),
            outcome(&nobody, "failed"),
            outcome(second, "denied"),
        ])
        .await;
        let ends: Vec<String> = log.leaves().await.into_iter().skip(40).map(|(_, kind)| kind).collect();
        assert_eq!(ends, ["outcome", "correction", "outcome"]);
        let of = async |event: &EventId| event::get(&log.db, event.as_str()).await.unwrap().unwrap();
        let (first, second) = (of(first).await, of(second).await);
        assert_eq!((first.outcome.as_str(), first.seq), ("succeeded", positions[0]));
        assert_eq!((second.outcome.as_str(), second.outcome_seq), ("denied", Some(42)));
        assert_eq!((second.actor.as_str(), second.target.as_str()), ("prn_a", "srv_1"));
        // What stands in the table is what was hashed.
        let rows = sqlx::query("SELECT bytes, hash FROM leaf").fetch_all(log.db.read()).await.unwrap();
        assert_eq!(rows.len(), 43);
        for row in rows {
            let hash = row.text::<String>("hash").unwrap();
            assert_eq!(keywright_log::Hash::leaf(&row.blob("bytes").unwrap()).hex(), hash);
        }
    }
}

#[tokio::test]
async fn an_operation_that_never_ended_is_closed_and_corrected_but_never_rewritten() {
    for log in logs().await {
        let sent = intent("", "srv_1");
        log.record(&sent).await;
        let close = CloseInterrupted { db: log.db.clone(), log: log.log.clone() };
        assert_eq!(close.once().await.unwrap(), 0);
        log.time.fetch_add(i64::try_from(AFTER.as_micros()).unwrap() + 1, Ordering::SeqCst);
        assert_eq!(close.once().await.unwrap(), 1);
        assert_eq!(log.list(Filter::default()).await[0].outcome, "interrupted");
        log.end(&[outcome(&sent.event, "succeeded")]).await;
        assert_eq!(log.list(Filter::default()).await[0].outcome, "succeeded");
        let kinds: Vec<_> = log.leaves().await.into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, ["intent", "outcome", "correction"]);
    }
}

#[tokio::test]
async fn a_list_is_narrowed_by_each_filter() {
    for log in logs().await {
        let (one, two) = (intent("ten_a", "srv_1"), intent("ten_b", "srv_2"));
        log.record(&one).await;
        log.record(&two).await;
        log.end(&[outcome(&two.event, "denied")]).await;
        let ids = |events: Vec<Event>| events.into_iter().map(|e| e.id).collect::<Vec<_>>().join(" ");
        let (one, two) = (one.event.to_string(), two.event.to_string());
        assert_eq!(ids(log.list(Filter::default()).await), format!("{two} {one}"));
        assert_eq!(ids(log.list(Filter { tenant: "ten_a".into(), ..Filter::default() }).await), one);
        assert_eq!(ids(log.list(Filter { target: "srv_2".into(), ..Filter::default() }).await), two);
        assert_eq!(ids(log.list(Filter { outcome: "pending".into(), ..Filter::default() }).await), one);
        assert_eq!(ids(log.list(Filter { actor: "nobody".into(), ..Filter::default() }).await), "");
        assert_eq!(event::get(&log.db, &two).await.unwrap().unwrap().outcome, "denied");
    }
}

#[tokio::test]
async fn an_entry_that_is_too_large_is_refused() {
    for log in logs().await {
        let mut sent = intent("", "srv_1");
        sent.open.comment = "x".repeat(70_000);
        let refused = RecordIntent { log: log.log.clone() }.run(sent).await.unwrap_err();
        assert_eq!(refused.reason, Reason::ValidationFailed);
        assert!(log.leaves().await.is_empty());
    }
}
