//! Copies one service's database, as it is at one moment, while others write to it.
//!
//! Nothing is held in memory but a few rows: they are written as they come.

use super::SnapshotError;
use super::schema::{self, Column, Kind, Table, quoted};
use super::stream::{Section, Summary, Value, Writer};
use crate::db::in_schema;
use crate::{Dialect, Migrations, Source};
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use keywright_domain::clock::{Clock, Instant};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::io::Write;

/// A database that is only read: nothing is created, migrated or locked.
pub struct Original {
    conn: AnyConnection,
    dialect: Dialect,
    clock: Clock,
}

impl Original {
    pub async fn open(source: &Source, service: &'static str, clock: Clock) -> Result<Self, SnapshotError> {
        sqlx::any::install_default_drivers();
        let (mut conn, dialect) = match source {
            Source::Directory(dir) => {
                let path = dir.join(format!("{service}.db"));
                if !path.exists() {
                    return Err(SnapshotError::NoDatabase(service));
                }
                let mut conn =
                    AnyConnection::connect(&format!("sqlite://{}?mode=rw", path.display())).await?;
                sqlx::raw_sql("PRAGMA busy_timeout = 10000; PRAGMA query_only = ON")
                    .execute(&mut conn)
                    .await?;
                (conn, Dialect::Sqlite)
            }
            Source::Postgres(url) => {
                let mut conn = AnyConnection::connect(&in_schema(url, service)).await?;
                // A copy may take long, and its transaction waits where the disk is slow.
                let session = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
                sqlx::raw_sql(session).execute(&mut conn).await?;
                (conn, Dialect::Postgres)
            }
        };
        if schema::tables(&mut conn, dialect).await?.is_empty() {
            conn.close().await?;
            return Err(SnapshotError::NoDatabase(service));
        }
        Ok(Self { conn, dialect, clock })
    }

    pub async fn now(&mut self) -> Result<Instant, SnapshotError> {
        match self.dialect {
            Dialect::Sqlite => Ok(self.clock.now()),
            Dialect::Postgres => {
                let text = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
                Ok(Instant::from_micros(sqlx::query(text).fetch_one(&mut self.conn).await?.try_get(0)?))
            }
        }
    }
}

/// Whether the database has had exactly these migrations: only then may a program that is not its server write to it.
pub async fn is_current(
    source: &Source,
    service: &'static str,
    migrations: &Migrations,
    clock: Clock,
) -> Result<bool, SnapshotError> {
    let mut original = Original::open(source, service, clock).await?;
    let had = schema::migrations(&mut original.conn).await?;
    original.conn.close().await?;
    let ours = migrations.iter().map(|known| (known.version, known.checksum.to_vec()));
    Ok(had == ours.collect::<Vec<_>>())
}

/// One transaction that only reads: on SQLite the first read fixes what it sees of the log of changes, on PostgreSQL
/// REPEATABLE READ does.
pub async fn copy<W: Write>(
    mut from: Original,
    service: &str,
    to: &mut Writer<W>,
) -> Result<Summary, SnapshotError> {
    let begin = match from.dialect {
        Dialect::Sqlite => "BEGIN DEFERRED",
        Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    sqlx::raw_sql(begin).execute(&mut from.conn).await?;
    let migrations = schema::migrations(&mut from.conn).await?;
    let migrations = migrations.iter().map(|(version, hash)| (*version, HEXLOWER.encode(hash))).collect();
    let taken_at = from.now().await?.micros();
    to.begin(Section { service: service.to_owned(), taken_at, migrations })?;
    for table in schema::tables(&mut from.conn, from.dialect).await? {
        to.table(&table)?;
        rows(&mut from.conn, &table, to).await?;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut from.conn).await?;
    from.conn.close().await?;
    to.end()
}

async fn rows<W: Write>(
    conn: &mut AnyConnection,
    table: &Table,
    to: &mut Writer<W>,
) -> Result<(), SnapshotError> {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let select = format!("SELECT {} FROM {}", columns.join(", "), quoted(&table.name));
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let values = table.columns.iter().enumerate().map(|(at, column)| value(&row, at, column));
        to.row(&values.collect::<Result<Vec<_>, _>>()?)?;
    }
    Ok(())
}

fn value(row: &AnyRow, at: usize, column: &Column) -> Result<Value, SnapshotError> {
    Ok(match column.kind {
        Kind::Text => row.try_get::<Option<String>, _>(at)?.map_or(Value::Null, Value::Text),
        Kind::Bigint => row.try_get::<Option<i64>, _>(at)?.map_or(Value::Null, Value::Int),
        Kind::Blob => row.try_get::<Option<Vec<u8>>, _>(at)?.map_or(Value::Null, Value::Blob),
    })
}
