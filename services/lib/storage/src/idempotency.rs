//! Same caller, method and key: the first answer again, if the request is the same. Kept for 24 hours.
//!
//! The request hash is keyed (see the runtime): a passphrase cannot be guessed from it.

use crate::{Columns, Error, Tx};
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
    sqlx::query("DELETE FROM idempotency WHERE created_at <= $1")
        .bind(now.minus(LIFETIME).micros())
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "INSERT INTO idempotency (caller, method, idempotency_key, request_hash, response, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&scope.caller)
    .bind(scope.method)
    .bind(&scope.key)
    .bind(&scope.request_hash)
    .bind(response)
    .bind(now.micros())
    .execute(tx.conn())
    .await?;
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
