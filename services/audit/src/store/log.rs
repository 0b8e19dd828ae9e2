//! Appending leaves: the head's row is the lock, so that positions have no gap and follow commit order.

use crate::leaf::{Clear, Leaf, canonical};
use keywright_storage::{Columns, Db, Error, Tx};

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

/// Takes the lock of the log: whoever appends holds it to the end of his transaction.
pub async fn lock(tx: &mut Tx) -> Result<(), Error> {
    sqlx::query("UPDATE head SET size = size WHERE id = 'log'").execute(tx.conn()).await?;
    Ok(())
}

/// The position of the leaf, if it is in the log already.
pub async fn position(tx: &mut Tx, event: &str, kind: Kind) -> Result<Option<i64>, Error> {
    let row = sqlx::query("SELECT seq FROM leaf WHERE event_id = $1 AND kind = $2")
        .bind(event)
        .bind(kind.as_str())
        .fetch_optional(tx.conn())
        .await?;
    row.map(|row| row.int("seq")).transpose()
}

/// Appends a leaf and keeps its clear values beside it.
pub async fn append(tx: &mut Tx, event: &str, kind: Kind, leaf: &Leaf, clear: &Clear) -> Result<i64, Error> {
    let row = sqlx::query("UPDATE head SET size = size + 1 WHERE id = 'log' RETURNING size")
        .fetch_one(tx.conn())
        .await?;
    let seq = row.int::<i64>("size")?.saturating_sub(1);
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO leaf (seq, event_id, kind, bytes, hash, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(seq)
    .bind(event)
    .bind(kind.as_str())
    .bind(leaf.bytes.as_slice())
    .bind(&leaf.hash)
    .bind(now)
    .execute(tx.conn())
    .await?;
    let salts = leaf.salts.iter().map(|(field, salt)| ((*field).to_owned(), salt.clone())).collect();
    sqlx::query(
        "INSERT INTO clear_value (event_id, kind, actor, source_ip, user_agent, target, details, salts)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(event)
    .bind(kind.as_str())
    .bind(&clear.actor)
    .bind(&clear.source_ip)
    .bind(&clear.user_agent)
    .bind(&clear.target)
    .bind(canonical(&clear.details))
    .bind(canonical::<String>(&salts))
    .execute(tx.conn())
    .await?;
    Ok(seq)
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
