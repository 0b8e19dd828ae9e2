//! Every SQL text is prepared by both engines on the tables that the service's own migrations make: names, columns,
//! and types that the one driver for both can carry.

use crate::finding::Finding;
use crate::sources;
use crate::sql::extract::{self, Text};
use crate::sql::services::{Service, services};
use keywright_domain::clock::Clock;
use keywright_storage::{Db, Migrations, Source};
use sqlx::any::AnyTypeInfo;
use sqlx::{AssertSqlSafe, Column, Connection, Executor, PgConnection, SqlSafeStr, Statement};
use std::path::Path;

async fn open(service: &Service, source: &Source) -> Db {
    let migrations = Migrations::new(service.migrations().as_path()).await.unwrap();
    let name: &'static str = service.name.clone().leak();
    let opened = Db::open(source, name, &migrations, Clock::System).await;
    opened.unwrap_or_else(|error| panic!("the migrations of {} do not run: {error:?}", service.directory))
}

/// An engine's own statement, for what the other does not have or spells in another way, as a list in one parameter.
fn is_sqlites_own(text: &Text) -> bool {
    text.sql.trim_start().starts_with("PRAGMA ") || text.sql.contains("json_each(")
}

/// The same for PostgreSQL: its way to give space back, its view of who is at work, and its way to read a list.
fn is_postgres_own(text: &Text) -> bool {
    text.sql.trim_start().starts_with("VACUUM (")
        || text.sql.contains("FROM pg_stat_activity")
        || text.sql.contains("txid_current()")
        || text.sql.contains("jsonb_array_elements")
}

fn refusal(text: &Text, engine: &str, error: &sqlx::Error) -> Finding {
    Finding::new(&text.file, text.line, format!("{engine} refuses it: {error}"))
}

async fn refused_by_sqlite(service: &Service, directory: &Path, texts: &[Text]) -> Vec<Finding> {
    let db = open(service, &Source::Directory(directory.into())).await;
    let mut conn = db.read().acquire().await.unwrap();
    let mut findings = Vec::new();
    for text in texts.iter().filter(|text| !is_postgres_own(text)) {
        let sql = AssertSqlSafe(text.sql.clone()).into_sql_str();
        if let Err(error) = (&mut *conn).prepare(sql).await {
            findings.push(refusal(text, "SQLite", &error));
        }
    }
    findings
}

/// PostgreSQL tells the types of a result before there is one: each must be one that the driver for both carries.
async fn refused_by_postgres(service: &Service, url: &str, texts: &[Text]) -> Vec<Finding> {
    open(service, &Source::Postgres(url.to_owned())).await.close().await;
    let joint = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{joint}options=-c%20search_path%3D{}", service.name);
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let mut findings = Vec::new();
    for text in texts.iter().filter(|text| !is_sqlites_own(text)) {
        let sql = AssertSqlSafe(text.sql.clone()).into_sql_str();
        match (&mut conn).prepare(sql).await {
            Err(error) => findings.push(refusal(text, "PostgreSQL", &error)),
            Ok(statement) => {
                let unread =
                    statement.columns().iter().map(|column| AnyTypeInfo::try_from(column.type_info()));
                findings.extend(
                    unread.filter_map(Result::err).map(|error| refusal(text, "the driver for both", &error)),
                );
            }
        }
    }
    findings
}

#[tokio::test]
async fn every_text_is_understood_by_both_databases() {
    let (files, _) = sources::rust(&["services"]);
    let directory = tempfile::tempdir().unwrap();
    let url = keywright_kit::postgres_database().await.unwrap();
    let (mut findings, mut prepared) = (Vec::new(), 0);
    for service in services() {
        let store = format!("{}src/store", service.directory);
        let rooms: Vec<_> = files
            .iter()
            .filter(|rust| {
                rust.path.starts_with(&store) || rust.path.starts_with("services/lib/storage/src/")
            })
            .collect();
        let (texts, unread) = extract::texts(&rooms);
        findings.extend(unread);
        prepared += texts.len();
        findings.extend(refused_by_sqlite(&service, directory.path(), &texts).await);
        findings.extend(refused_by_postgres(&service, &url, &texts).await);
    }
    assert!(prepared > 100, "only {prepared} texts were found");
    crate::finding::assert_none(findings);
}

#[tokio::test]
async fn what_one_of_them_does_not_understand_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let url = keywright_kit::postgres_database().await.unwrap();
    let service = services().into_iter().find(|service| service.name == "audit").unwrap();
    let text = |line, sql: &str| Text { file: "x.rs".into(), line, sql: sql.into(), binds: None };
    let texts = [
        text(1, "SELECT size FROM head WHERE id = $1"),
        text(2, "SELECT length FROM head"),
        text(3, "SELECT id FROM server"),
        text(4, "SELECT SUM(size) AS total FROM head"),
        text(5, "INSERT OR REPLACE INTO head (id, size) VALUES ($1, $2)"),
        text(6, "SELECT size FROM head FOR UPDATE"),
        text(
            7,
            "INSERT INTO leaf (seq, event_id, kind, bytes, hash, recorded_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING bytes",
        ),
        text(8, "PRAGMA wal_checkpoint(TRUNCATE)"),
        text(9, "VACUUM (FULL) head"),
        text(10, "SELECT value ->> 0, seq FROM json_each($1), head"),
        text(11, "SELECT value ->> 0, seq FROM jsonb_array_elements(CAST($1 AS jsonb)), head"),
    ];
    let lines = |findings: Vec<Finding>| findings.into_iter().map(|finding| finding.line).collect::<Vec<_>>();
    let sqlite = lines(refused_by_sqlite(&service, directory.path(), &texts).await);
    let postgres = lines(refused_by_postgres(&service, &url, &texts).await);
    // A wrong column and another service's table on both; a sum without a cast, and each engine's own words, on one.
    assert_eq!((sqlite, postgres), (vec![2, 3, 6, 10], vec![2, 3, 4, 5, 11]));
}
