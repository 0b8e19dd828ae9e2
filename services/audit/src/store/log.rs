//! The log's leaves. They are written a batch at a time: the head's row is the lock, so that positions have no gap and
//! follow commit order; whatever a batch holds, it is a handful of statements.

use super::tree::signed;
use keywright_storage::{Columns, Db, Dialect, Error, Tx};
use serde_json::Value;

/// Which leaf of an operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Intent,
    Outcome,
    /// An outcome that arrived after the operation had been closed as INTERRUPTED.
    Correction,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Correction => "correction",
        }
    }
}

/// Begins a transaction that holds the lock of the log to its end, as whoever appends does. How many leaves there are.
pub async fn lock(db: &Db) -> Result<(Tx, i64), Error> {
    let (tx, row) = db
        .begin_locked(match db.dialect() {
            Dialect::Sqlite => "UPDATE head SET size = size WHERE id = 'log' RETURNING size",
            Dialect::Postgres => {
                "UPDATE head SET size = size WHERE id = 'log'
              RETURNING size, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS at"
            }
        })
        .await?;
    Ok((tx, row.int("size")?))
}

/// The rows of one statement, as both databases take a list: one JSON text.
pub fn array(rows: impl Iterator<Item = Value>) -> String {
    Value::Array(rows.collect()).to_string()
}

/// How many leaves there are, and the hash of the last; empty for an empty log.
pub async fn head(db: &Db) -> Result<(i64, String), Error> {
    let row = sqlx::query(
        "SELECT h.size, l.hash FROM head h LEFT JOIN leaf l ON l.seq = h.size - 1 WHERE h.id = 'log'",
    )
    .fetch_one(db.read())
    .await?;
    Ok((row.int("size")?, row.opt_text("hash")?.unwrap_or_default()))
}

/// The leaves at these positions, in order; one that is retired is empty.
pub async fn leaves(db: &Db, from: u64, until: u64) -> Result<Vec<Vec<u8>>, Error> {
    let rows = sqlx::query("SELECT bytes FROM leaf WHERE seq >= $1 AND seq < $2 ORDER BY seq")
        .bind(signed(from)?)
        .bind(signed(until)?)
        .fetch_all(db.read())
        .await?;
    rows.iter().map(|row| row.blob("bytes")).collect()
}
