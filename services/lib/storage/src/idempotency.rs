//! Same caller, method and key: the first answer again, if the request is the same. Kept for 24 hours, then swept.
//!
//! Invariant: an answer is remembered in the transaction of its effect, so that there is never one without the other.
//! A claim only makes a second request wait that came while the first was being worked on, on any replica; it lapses,
//! and nothing rests on it: whoever comes second into the transaction finds the answer there.
//!
//! The request hash is keyed (see the runtime): a passphrase cannot be guessed from it.

use crate::{Columns, Db, Error, Tx};
use std::time::Duration;

/// How long an answer is remembered.
pub const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Whose request it is, and the keyed hash of what it asks for.
#[derive(Debug, Clone)]
pub struct Scope {
    pub caller: String,
    pub method: &'static str,
    pub key: String,
    pub request_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Never, or too long ago.
    New,
    /// The same request: its answer.
    Same(Vec<u8>),
    /// Another request under the same key.
    Different,
}

/// What a request that is about to begin finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is this one's; [`release`] gives it back.
    Mine,
    /// The key has its answer: this one's, or another request's.
    Answered,
    /// A request under the key is being worked on.
    InProgress,
}

pub async fn look(tx: &mut Tx, scope: &Scope) -> Result<Seen, Error> {
    let oldest = tx.now().minus(LIFETIME).micros();
    let row = sqlx::query(
        "SELECT request_hash, response FROM idempotency
          WHERE caller = $1 AND method = $2 AND idempotency_key = $3 AND created_at > $4",
    )
    .bind(&scope.caller)
    .bind(scope.method)
    .bind(&scope.key)
    .bind(oldest)
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(Seen::New) };
    if row.text::<String>("request_hash")? == scope.request_hash {
        Ok(Seen::Same(row.blob("response")?))
    } else {
        Ok(Seen::Different)
    }
}

pub async fn remember(tx: &mut Tx, scope: &Scope, response: &[u8]) -> Result<(), Error> {
    let now = tx.now();
    let done = sqlx::query(
        "INSERT INTO idempotency (caller, method, idempotency_key, request_hash, response, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (caller, method, idempotency_key) DO UPDATE
            SET request_hash = $4, response = $5, created_at = $6
          WHERE idempotency.created_at <= $7",
    )
    .bind(&scope.caller)
    .bind(scope.method)
    .bind(&scope.key)
    .bind(&scope.request_hash)
    .bind(response)
    .bind(now.micros())
    .bind(now.minus(LIFETIME).micros())
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        // Somebody was faster after we looked: the next attempt finds that answer.
        return Err(Error::Again(sqlx::Error::RowNotFound));
    }
    Ok(())
}

/// The request was refused after all, by somebody who could only be asked after it was remembered: its key is free again.
pub async fn forget(tx: &mut Tx, scope: &Scope) -> Result<(), Error> {
    sqlx::query("DELETE FROM idempotency WHERE caller = $1 AND method = $2 AND idempotency_key = $3 AND request_hash = $4")
        .bind(&scope.caller)
        .bind(scope.method)
        .bind(&scope.key)
        .bind(&scope.request_hash)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Claims the key for `holder` until `span` has passed, unless it is answered or somebody else's.
pub async fn claim(db: &Db, scope: &Scope, holder: &str, span: Duration) -> Result<Turn, Error> {
    let mut tx = db.begin_claim().await?;
    let now = tx.now();
    // An answer counts from the moment that its request has ended: until then it may be taken back.
    let other = sqlx::query(
        "SELECT holder FROM idempotency_claim
          WHERE caller = $1 AND method = $2 AND idempotency_key = $3 AND claimed_until > $4",
    )
    .bind(&scope.caller)
    .bind(scope.method)
    .bind(&scope.key)
    .bind(now.micros())
    .fetch_optional(tx.conn())
    .await?;
    if other.is_some() {
        return Ok(Turn::InProgress);
    }
    if look(&mut tx, scope).await? != Seen::New {
        return Ok(Turn::Answered);
    }
    let claimed = sqlx::query(
        "INSERT INTO idempotency_claim (caller, method, idempotency_key, holder, claimed_until)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (caller, method, idempotency_key) DO UPDATE SET holder = $4, claimed_until = $5
          WHERE idempotency_claim.claimed_until <= $6",
    )
    .bind(&scope.caller)
    .bind(scope.method)
    .bind(&scope.key)
    .bind(holder)
    .bind(now.plus(span).micros())
    .bind(now.micros())
    .execute(tx.conn())
    .await?;
    if claimed.rows_affected() == 0 {
        return Ok(Turn::InProgress);
    }
    tx.commit().await?;
    Ok(Turn::Mine)
}

/// The holder's request has ended: whoever waited finds its answer, or may begin.
pub async fn release(db: &Db, scope: &Scope, holder: &str) -> Result<(), Error> {
    let mut tx = db.begin_claim().await?;
    sqlx::query(
        "DELETE FROM idempotency_claim
          WHERE caller = $1 AND method = $2 AND idempotency_key = $3 AND holder = $4",
    )
    .bind(&scope.caller)
    .bind(scope.method)
    .bind(&scope.key)
    .bind(holder)
    .execute(tx.conn())
    .await?;
    tx.commit().await
}

/// Forgets the answers whose time is over, and the claims of requests that died.
pub async fn sweep(db: &Db) -> Result<(), Error> {
    let mut tx = db.begin_claim().await?;
    let now = tx.now();
    sqlx::query("DELETE FROM idempotency WHERE created_at <= $1")
        .bind(now.minus(LIFETIME).micros())
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM idempotency_claim WHERE claimed_until <= $1")
        .bind(now.micros())
        .execute(tx.conn())
        .await?;
    tx.commit().await
}
