//! A process that writes the log and signs it is killed again and again: whatever it had acknowledged is there once, where
//! it said, and every checkpoint is of the log that is there.

use super::tree::{every_checkpoint_holds, signer_of};
use crate::app::append::Appender;
use crate::app::record_intent::RecordIntent;
use crate::app::record_outcomes::RecordOutcomes;
use crate::store::log;
use keywright_domain::clock::{Clock, fill_random};
use keywright_storage::{Columns, Db, Source};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the killed process is told: where its database is, and where its keys are.
const DATABASE: &str = "KEYWRIGHT_TEST_KILLED_DATABASE";
const FOLDER: &str = "KEYWRIGHT_TEST_KILLED_FOLDER";

const WRITERS: usize = 16;

fn kills() -> usize {
    if std::env::var_os("KEYWRIGHT_TEST_FULL").is_some() { 400 } else { 100 }
}

async fn open(database: &str, folder: &Path) -> Db {
    let source = match database {
        "" => Source::Directory(folder.to_owned()),
        url => Source::Postgres(url.to_owned()),
    };
    Db::open(&source, "audit", &crate::MIGRATIONS, Clock::System).await.unwrap()
}

/// The process that is killed; it does nothing unless it is told where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_until_it_is_killed() {
    let (Ok(database), Ok(folder)) = (std::env::var(DATABASE), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    let db = open(&database, &folder).await;
    let log = Appender::new(db.clone());
    for _ in 0..WRITERS {
        let log = log.clone();
        tokio::spawn(async move {
            loop {
                let sent = super::intent("ten_a", "srv_1");
                let position = RecordIntent { log: log.clone() }.run(sent.clone()).await.unwrap();
                // One line, one write: never half of one.
                let line = format!("{} {position}\n", sent.event);
                std::io::stdout().write_all(line.as_bytes()).unwrap();
                RecordOutcomes { log: log.clone() }
                    .run(vec![super::outcome(&sent.event, "succeeded")])
                    .await
                    .unwrap();
            }
        });
    }
    let sign = signer_of(&db, &folder);
    loop {
        sign.once().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a process acknowledged until it was killed, at a random time after its first word.
fn run_and_kill(database: &str, folder: &Path) -> Vec<(String, i64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::kills::writes_until_it_is_killed", "--nocapture"])
        .env(DATABASE, database)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut random = [0u8; 1];
    fill_random(&mut random).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut killer = None;
    while let Some(Ok(line)) = lines.next() {
        let Some((event, position)) = line.split_once(' ') else { continue };
        let Ok(position) = position.parse() else { continue };
        if !event.starts_with("evt_") {
            continue;
        }
        acknowledged.push((event.to_owned(), position));
        let id = child.id();
        killer.get_or_insert_with(|| {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(u64::from(random[0]) / 4));
                assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
            })
        });
    }
    killer.expect("the process wrote nothing").join().unwrap();
    child.wait().unwrap();
    acknowledged
}

async fn hundreds(database: String) {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&database, folder.path()).await;
    signer_of(&db, folder.path());
    let mut acknowledged = BTreeMap::new();
    for _ in 0..kills() {
        for (event, position) in run_and_kill(&database, folder.path()) {
            assert_eq!(acknowledged.insert(position, event), None, "two entries at one place");
        }
    }
    let rows =
        sqlx::query("SELECT seq, event_id, kind FROM leaf ORDER BY seq").fetch_all(db.read()).await.unwrap();
    let mut intents = 0;
    for (row, expected) in rows.iter().zip(0i64..) {
        let (seq, event): (i64, String) = (row.int("seq").unwrap(), row.text("event_id").unwrap());
        assert_eq!(seq, expected, "a position has no entry");
        intents += usize::from(row.text::<String>("kind").unwrap() == "intent");
        if let Some(acknowledged) = acknowledged.remove(&seq) {
            assert_eq!(acknowledged, event);
        }
    }
    assert!(acknowledged.is_empty(), "acknowledged and lost: {acknowledged:?}");
    let (size, _) = log::head(&db).await.unwrap();
    assert_eq!(usize::try_from(size).unwrap(), rows.len());
    assert!(intents >= kills(), "every process wrote something");
    signer_of(&db, folder.path()).once().await.unwrap();
    every_checkpoint_holds(&db).await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_every_kill_in_a_file() {
    hundreds(String::new()).await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_every_kill_in_postgresql() {
    hundreds(keywright_kit::postgres_database().await.unwrap()).await;
}
