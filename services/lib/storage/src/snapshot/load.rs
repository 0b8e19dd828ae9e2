//! Loads a section into an empty database.
//!
//! The database is brought to the migrations that the backup had; once the rows are in, opening it as usual runs the
//! rest.

use super::SnapshotError;
use super::schema::{self, Kind, Table, quoted};
use super::stream::{Item, Reader, Section, Summary, Value};
use crate::{Db, Dialect, Migrations, Source, Tx};
use data_encoding::HEXLOWER;
use keywright_domain::clock::Clock;
use sqlx::migrate::Migration;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::borrow::Cow;
use std::io::Read;

/// Values of one INSERT; both databases take many more.
const VALUES_AT_ONCE: usize = 900;
/// And bytes, about.
const BYTES_AT_ONCE: usize = 1 << 20;

/// Whether the service has no database here yet. One that a server has been started on is not empty.
pub async fn is_empty(source: &Source, service: &'static str) -> Result<bool, SnapshotError> {
    match source {
        Source::Directory(dir) => Ok(!dir.join(format!("{service}.db")).exists()),
        Source::Postgres(url) => {
            sqlx::any::install_default_drivers();
            let mut conn = AnyConnection::connect(url).await?;
            let text =
                "SELECT CAST(COUNT(*) AS BIGINT) FROM information_schema.tables WHERE table_schema = $1";
            let count: i64 = sqlx::query(text).bind(service).fetch_one(&mut conn).await?.try_get(0)?;
            conn.close().await?;
            Ok(count == 0)
        }
    }
}

/// Takes away what a restore that did not end has left.
pub async fn forget(source: &Source, service: &'static str) -> Result<(), SnapshotError> {
    match source {
        Source::Directory(dir) => {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                match std::fs::remove_file(dir.join(format!("{service}.db{suffix}"))) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(SnapshotError::Write(error));
                    }
                    _ => {}
                }
            }
        }
        Source::Postgres(url) => {
            sqlx::any::install_default_drivers();
            let mut conn = AnyConnection::connect(url).await?;
            let text = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(service));
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await?;
            conn.close().await?;
        }
    }
    Ok(())
}

/// The database with the migrations that the section had, and no others. One that we do not know is of a newer version.
pub async fn open_as_of(
    section: &Section,
    source: &Source,
    service: &'static str,
    migrations: &Migrations,
    clock: Clock,
) -> Result<Db, SnapshotError> {
    let then = Migrations { migrations: Cow::Owned(known(section, migrations)?), ..Migrations::DEFAULT };
    Ok(Db::open(source, service, &then, clock).await?)
}

/// The migrations that the section had, if this version has them all.
pub fn known(section: &Section, migrations: &Migrations) -> Result<Vec<Migration>, SnapshotError> {
    let mut then: Vec<Migration> = Vec::new();
    for (version, hash) in &section.migrations {
        let known = migrations
            .iter()
            .find(|known| known.version == *version && HEXLOWER.encode(&known.checksum) == *hash);
        let known = known
            .ok_or_else(|| SnapshotError::Newer { service: section.service.clone(), version: *version })?;
        then.push(known.clone());
    }
    Ok(then)
}

/// Rows of one table, outside of a stream.
pub async fn insert_rows(into: &Db, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), SnapshotError> {
    let mut tx = into.begin_internal("restore").await?;
    let mut batch = Batch { table: table.clone(), rows: Vec::new(), bytes: 0 };
    for row in rows {
        batch.rows.push(row);
        if batch.is_full() {
            insert(&mut tx, &mut batch).await?;
        }
    }
    flush(&mut tx, Some(batch)).await?;
    Ok(tx.commit().await?)
}

/// The rows of the section that was just begun, to its end, in one transaction. What a migration has put in goes first.
pub async fn load<R: Read>(
    from: &mut Reader<R>,
    section: &Section,
    into: &Db,
) -> Result<Summary, SnapshotError> {
    let mut tx = into.begin_internal("restore").await?;
    let there = schema::tables(tx.conn(), into.dialect()).await?;
    for table in there.iter().rev() {
        let text = format!("DELETE FROM {}", quoted(&table.name));
        sqlx::query(AssertSqlSafe(text)).execute(tx.conn()).await?;
    }
    if into.dialect() == Dialect::Sqlite {
        sqlx::query("PRAGMA defer_foreign_keys = ON").execute(tx.conn()).await?;
    }
    let mut batch: Option<Batch> = None;
    loop {
        match from.item()? {
            Item::Table(table) => {
                flush(&mut tx, batch.take()).await?;
                if !there.iter().any(|known| known.name == table.name && known.is_like(&table)) {
                    let (service, table) = (section.service.clone(), table.name);
                    return Err(SnapshotError::Mismatch { service, table });
                }
                batch = Some(Batch { table, rows: Vec::new(), bytes: 0 });
            }
            Item::Row(values) => {
                let Some(open) = batch.as_mut() else { continue };
                open.bytes = open.bytes.saturating_add(values.iter().map(size).sum());
                open.rows.push(values);
                if open.is_full() {
                    insert(&mut tx, open).await?;
                }
            }
            Item::End(summary) => {
                flush(&mut tx, batch.take()).await?;
                tx.commit().await?;
                return Ok(summary);
            }
            Item::Section(_) | Item::Complete => return Err(SnapshotError::Format("a section has no end")),
        }
    }
}

struct Batch {
    table: Table,
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        let values = self.rows.len().saturating_add(1).saturating_mul(self.table.columns.len());
        values > VALUES_AT_ONCE || self.bytes > BYTES_AT_ONCE
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Int(_) => 8,
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
    }
}

async fn flush(tx: &mut Tx, batch: Option<Batch>) -> Result<(), SnapshotError> {
    match batch {
        Some(mut open) if !open.rows.is_empty() => insert(tx, &mut open).await,
        _ => Ok(()),
    }
}

async fn insert(tx: &mut Tx, batch: &mut Batch) -> Result<(), SnapshotError> {
    let columns: Vec<String> = batch.table.columns.iter().map(|column| quoted(&column.name)).collect();
    let mut place = 0usize;
    let mut places = || {
        place = place.saturating_add(1);
        format!("${place}")
    };
    let rows: Vec<String> = batch
        .rows
        .iter()
        .map(|row| format!("({})", row.iter().map(|_| places()).collect::<Vec<_>>().join(", ")))
        .collect();
    let text = format!(
        "INSERT INTO {} ({}) VALUES {}",
        quoted(&batch.table.name),
        columns.join(", "),
        rows.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(text));
    for row in batch.rows.drain(..) {
        for (column, value) in batch.table.columns.iter().zip(row) {
            query = match (column.kind, value) {
                (Kind::Text, Value::Text(text)) => query.bind(Some(text)),
                (Kind::Text, Value::Null) => query.bind(None::<String>),
                (Kind::Bigint, Value::Int(number)) => query.bind(Some(number)),
                (Kind::Bigint, Value::Null) => query.bind(None::<i64>),
                (Kind::Blob, Value::Blob(bytes)) => query.bind(Some(bytes)),
                (Kind::Blob, Value::Null) => query.bind(None::<Vec<u8>>),
                _ => return Err(SnapshotError::Format("a value is not of its column's kind")),
            };
        }
    }
    query.execute(tx.conn()).await?;
    batch.bytes = 0;
    Ok(())
}
