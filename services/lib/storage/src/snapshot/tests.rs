//! Out of either database and into either, while it is written to.

use super::*;
use crate::{Db, Source};
use keywright_domain::clock::Clock;
use sqlx::migrate::{Migration, MigrationType};
use sqlx::{Row, SqlSafeStr};
use std::io::Read;

const SERVICE: &str = "sample";

fn migrations(count: usize) -> crate::Migrations {
    let texts = [
        // `child` stands before `parent` in the alphabet, and after it in the stream.
        "CREATE TABLE parent (id TEXT NOT NULL PRIMARY KEY, note TEXT);
         INSERT INTO parent (id, note) VALUES ('seed', 'by the migration');
         CREATE TABLE child (id BIGINT NOT NULL PRIMARY KEY, parent_id TEXT NOT NULL REFERENCES parent (id),
                             bytes BLOB, amount BIGINT)",
        "ALTER TABLE parent ADD COLUMN since BIGINT",
    ];
    let made = (1i64..).zip(texts).take(count);
    let made = made.map(|(version, text)| {
        Migration::new(version, "step".into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    crate::Migrations::with_migrations(made.collect())
}

/// An empty one of each kind; the folder goes with the first.
async fn sources() -> (tempfile::TempDir, Vec<Source>) {
    let dir = tempfile::tempdir().unwrap();
    let postgres = keywright_kit::postgres_database().await.unwrap();
    let sources = vec![Source::Directory(dir.path().to_owned()), Source::Postgres(postgres)];
    (dir, sources)
}

fn on_sqlite() -> (tempfile::TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::Directory(dir.path().to_owned());
    (dir, source)
}

async fn open(source: &Source, count: usize) -> Db {
    Db::open(source, SERVICE, &migrations(count), Clock::System).await.unwrap()
}

async fn add(db: &Db, id: i64, bytes: Option<Vec<u8>>, amount: Option<i64>) {
    let mut tx = db.begin_internal("test").await.unwrap();
    let parent = format!("p{id} \u{2603}\"\n");
    sqlx::query("INSERT INTO parent (id, note) VALUES ($1, $2)")
        .bind(&parent)
        .bind(amount.map(|_| "noted"))
        .execute(tx.conn())
        .await
        .unwrap();
    sqlx::query("INSERT INTO child (id, parent_id, bytes, amount) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(&parent)
        .bind(bytes)
        .bind(amount)
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn backup(source: &Source) -> Vec<u8> {
    let original = Original::open(source, SERVICE, Clock::System).await.unwrap();
    let mut writer = Writer::new(Vec::new(), "test", Clock::System.now()).unwrap();
    copy(original, SERVICE, &mut writer).await.unwrap();
    writer.complete().unwrap()
}

async fn restore(stream: &[u8], into: &Source, count: usize) -> Result<Summary, SnapshotError> {
    let mut reader = Reader::new(stream)?;
    let Item::Section(section) = reader.item()? else { panic!("no section") };
    let db = open_as_of(&section, into, SERVICE, &migrations(count), Clock::System).await?;
    let summary = load(&mut reader, &section, &db).await?;
    db.close().await;
    assert_eq!(reader.item()?, Item::Complete);
    Ok(summary)
}

async fn rows(db: &Db) -> Vec<(i64, String, Option<String>, Option<Vec<u8>>, Option<i64>)> {
    let text = "SELECT c.id, p.id AS parent, p.note, c.bytes, c.amount FROM child c JOIN parent p ON p.id = c.parent_id
                 ORDER BY c.id";
    let rows = sqlx::query(text).fetch_all(db.read()).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
}

#[tokio::test]
async fn either_database_goes_into_either() {
    let (_dir, from) = sources().await;
    for source in &from {
        let db = open(source, 2).await;
        for id in 0..2_500 {
            let bytes = vec![u8::try_from(id % 256).unwrap(); 30];
            add(&db, id, (id % 3 != 0).then_some(bytes), (id % 2 == 0).then_some(i64::MIN + id)).await;
        }
        let (stream, was) = (backup(source).await, rows(&db).await);
        let (_into_dir, targets) = sources().await;
        for into in &targets {
            assert!(is_empty(into, SERVICE).await.unwrap());
            let summary = restore(&stream, into, 2).await.unwrap();
            assert!(!is_empty(into, SERVICE).await.unwrap());
            assert_eq!(summary.rows["child"], 2_500);
            assert_eq!(summary.rows["parent"], 2_501, "what the migration put in is there once");
            assert!(rows(&open(into, 2).await).await == was);
            forget(into, SERVICE).await.unwrap();
            assert!(is_empty(into, SERVICE).await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_copy_is_of_one_moment_though_others_write() {
    let (_dir, all) = sources().await;
    for source in all {
        let db = open(&source, 2).await;
        for id in 0..200 {
            add(&db, id, None, None).await;
        }
        let writing = tokio::spawn(async move {
            for id in 200..600 {
                add(&db, id, None, Some(id)).await;
            }
        });
        while !writing.is_finished() {
            let stream = backup(&source).await;
            let (_into_dir, into) = on_sqlite();
            // A child whose parent is missing would be refused.
            let summary = restore(&stream, &into, 2).await.unwrap();
            assert_eq!(summary.rows["child"] + 1, summary.rows["parent"]);
        }
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn an_older_backup_is_brought_up_to_date_and_a_newer_one_is_refused() {
    let (_source_dir1, source) = on_sqlite();
    add(&open(&source, 1).await, 7, None, Some(1)).await;
    let older = backup(&source).await;
    let (_into_dir, targets) = sources().await;
    for into in targets {
        restore(&older, &into, 2).await.unwrap();
        let db = open(&into, 2).await;
        let text = "SELECT since FROM parent WHERE note = 'noted'";
        let since: Option<i64> = sqlx::query(text).fetch_one(db.read()).await.unwrap().get(0);
        assert_eq!(since, None);
    }
    let (_source_dir2, source) = on_sqlite();
    open(&source, 2).await;
    let newer = backup(&source).await;
    let (_into_dir3, into) = on_sqlite();
    let refused = restore(&newer, &into, 1).await;
    assert!(matches!(refused, Err(SnapshotError::Newer { version: 2, .. })), "{refused:?}");
}

fn read(stream: &[u8]) -> Result<(), SnapshotError> {
    let mut reader = Reader::new(stream)?;
    while reader.item()? != Item::Complete {}
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_not_what_it_says_is_refused() {
    let (_source_dir4, source) = on_sqlite();
    add(&open(&source, 2).await, 1, Some(vec![1, 2, 3]), Some(4)).await;
    let stream = String::from_utf8(backup(&source).await).unwrap();
    read(stream.as_bytes()).unwrap();
    let lines: Vec<&str> = stream.lines().collect();
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        assert!(read(format!("{}\n", without.join("\n")).as_bytes()).is_err(), "without line {at}");
        let cut = format!("{}\n", lines[..at].join("\n"));
        assert!(read(cut.as_bytes()).is_err(), "{at} lines");
    }
    assert!(read(stream.replace("AQID", "AQIE").as_bytes()).is_err(), "a changed row");
    assert!(read(format!("{stream}{{}}\n").as_bytes()).is_err(), "something follows");
    assert!(read(stream.replacen("\"keywright-backup\":1", "\"keywright-backup\":2", 1).as_bytes()).is_err());
}

#[tokio::test]
async fn a_program_of_another_version_knows_that_it_is() {
    let (_dir, all) = sources().await;
    for source in all {
        open(&source, 1).await;
        let is_current =
            async |count| is_current(&source, SERVICE, &migrations(count), Clock::System).await.unwrap();
        assert!(is_current(1).await);
        assert!(!is_current(2).await, "the program is newer");
        open(&source, 2).await;
        assert!(!is_current(1).await, "the program is older");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_copied() {
    let (_dir, all) = sources().await;
    for source in all {
        let missing = Original::open(&source, SERVICE, Clock::System).await;
        assert!(matches!(missing, Err(SnapshotError::NoDatabase(SERVICE))));
        assert!(is_empty(&source, SERVICE).await.unwrap(), "looking makes nothing");
    }
}

#[test]
fn a_sealed_stream_reads_back() {
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let recipient = age::Recipient::parse(recipient).unwrap();
    let identity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let identities = age::Identity::parse_file(identity.as_bytes()).unwrap();
    let sealer = age::Sealer::new(Vec::new(), &[recipient]).unwrap();
    let writer = Writer::new(sealer, "test", Clock::System.now()).unwrap();
    let sealed = writer.complete().unwrap().finish().unwrap();
    let mut text = String::new();
    age::Opener::new(sealed.as_slice(), &identities).unwrap().read_to_string(&mut text).unwrap();
    read(text.as_bytes()).unwrap();
    assert!(text.starts_with("{\"keywright-backup\":1,\"version\":\"test\""), "{text}");
}
