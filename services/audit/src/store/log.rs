//! The log's tables are written a batch at a time: the head's row is the lock, so that positions have no gap and follow
//! commit order; whatever a batch holds, it is a handful of statements.

use super::tree::signed;
use keywright_domain::clock::Instant;
use keywright_log::leaf::{Clear, Leaf, canonical};
use keywright_storage::{Columns, Db, Dialect, Error, Tx};
use serde_json::{Value, json};

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

/// A leaf that gets the next position.
pub struct NewLeaf<'a> {
    pub position: i64,
    pub event: &'a str,
    pub kind: Kind,
    pub leaf: Leaf,
    pub clear: &'a Clear,
}

/// Takes the lock of the log: whoever appends holds it to the end of his transaction. How many leaves there are.
pub async fn lock(tx: &mut Tx) -> Result<i64, Error> {
    let row = sqlx::query("UPDATE head SET size = size WHERE id = 'log' RETURNING size")
        .fetch_one(tx.conn())
        .await?;
    row.int("size")
}

/// Appends leaves and keeps their clear values beside them; afterwards there are `size`.
pub async fn append(
    tx: &mut Tx,
    dialect: Dialect,
    at: Instant,
    leaves: &[NewLeaf<'_>],
    size: i64,
) -> Result<(), Error> {
    let rows = leaves.iter().map(|new| {
        json!([new.position, new.event, new.kind.as_str(), new.leaf.text, new.leaf.hash.hex(), at.micros()])
    });
    sqlx::query(match dialect {
        Dialect::Sqlite => {
            "INSERT INTO leaf (seq, event_id, kind, bytes, hash, recorded_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS BLOB), value ->> 4, value ->> 5
               FROM json_each($1)"
        }
        Dialect::Postgres => {
            "INSERT INTO leaf (seq, event_id, kind, bytes, hash, recorded_at)
             SELECT CAST(value ->> 0 AS BIGINT), value ->> 1, value ->> 2, convert_to(value ->> 3, 'UTF8'), value ->> 4,
                    CAST(value ->> 5 AS BIGINT)
               FROM jsonb_array_elements(CAST($1 AS jsonb))"
        }
    })
    .bind(array(rows))
    .execute(tx.conn())
    .await?;
    let rows = leaves.iter().map(|new| {
        let salts = &new.leaf.salts;
        // What has no salt is not kept either: see `erasure`.
        let kept = |field: &str, value: &str| {
            if salts.contains_key(field) { value.to_owned() } else { String::new() }
        };
        json!([
            new.event,
            new.kind.as_str(),
            kept("actor", &new.clear.actor),
            kept("sourceIp", &new.clear.source_ip),
            kept("userAgent", &new.clear.user_agent),
            kept("target", &new.clear.target),
            kept("details", &canonical(&new.clear.details)),
            canonical(salts),
        ])
    });
    sqlx::query(match dialect {
        Dialect::Sqlite => {
            "INSERT INTO clear_value (event_id, kind, actor, source_ip, user_agent, target, details, salts)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
               FROM json_each($1)"
        }
        Dialect::Postgres => {
            "INSERT INTO clear_value (event_id, kind, actor, source_ip, user_agent, target, details, salts)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
               FROM jsonb_array_elements(CAST($1 AS jsonb))"
        }
    })
    .bind(array(rows))
    .execute(tx.conn())
    .await?;
    sqlx::query("UPDATE head SET size = $1 WHERE id = 'log'").bind(size).execute(tx.conn()).await?;
    Ok(())
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
