//! Console codes and sessions, both by the SHA-256 of what their holder knows.

use keywright_domain::clock::Instant;
use keywright_domain::ids::TokenId;
use keywright_storage::{Columns, Db, Error, Tx};

/// A session: the token that it stands for, and when it was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub token: TokenId,
    pub last_seen_at: Instant,
}

/// Keeps a code for `token`; forgets those that have expired.
pub async fn insert_code(
    tx: &mut Tx,
    code_hash: &str,
    token: &TokenId,
    expires: Instant,
) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("DELETE FROM console_code WHERE expires_at < $1").bind(now).execute(tx.conn()).await?;
    sqlx::query("INSERT INTO console_code (code_hash, token_id, expires_at) VALUES ($1, $2, $3)")
        .bind(code_hash)
        .bind(token.as_str())
        .bind(expires.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The token that a code was made with, if the code can still be redeemed.
pub async fn open_code(db: &Db, code_hash: &str, now: Instant) -> Result<Option<TokenId>, Error> {
    let row = sqlx::query(
        "SELECT token_id FROM console_code WHERE code_hash = $1 AND redeemed_at IS NULL AND expires_at > $2",
    )
    .bind(code_hash)
    .bind(now.micros())
    .fetch_optional(db.read())
    .await?;
    row.map(|row| row.text("token_id")).transpose()
}

/// Redeems a code, once: false if another was first, or it has expired.
pub async fn redeem_code(tx: &mut Tx, code_hash: &str) -> Result<bool, Error> {
    let now = tx.now().micros();
    let done = sqlx::query(
        "UPDATE console_code SET redeemed_at = $2 WHERE code_hash = $1 AND redeemed_at IS NULL AND expires_at > $2",
    )
    .bind(code_hash)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A new session for `token`; forgets those whose tokens have expired.
pub async fn insert(tx: &mut Tx, token: &TokenId, secret_hash: &str) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "DELETE FROM console_session WHERE token_id IN (SELECT t.id FROM token t WHERE t.expires_at < $1)",
    )
    .bind(now)
    .execute(tx.conn())
    .await?;
    sqlx::query("INSERT INTO console_session (token_id, secret_hash, last_seen_at) VALUES ($1, $2, $3)")
        .bind(token.as_str())
        .bind(secret_hash)
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn by_secret(db: &Db, secret_hash: &str) -> Result<Option<Session>, Error> {
    let row = sqlx::query("SELECT token_id, last_seen_at FROM console_session WHERE secret_hash = $1")
        .bind(secret_hash)
        .fetch_optional(db.read())
        .await?;
    row.map(|row| Ok(Session { token: row.text("token_id")?, last_seen_at: row.int("last_seen_at")? }))
        .transpose()
}

/// Notes that it was used.
pub async fn touch(tx: &mut Tx, token: &TokenId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE console_session SET last_seen_at = $2 WHERE token_id = $1")
        .bind(token.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Ends the session of this token; false if it has none.
pub async fn delete(tx: &mut Tx, token: &TokenId) -> Result<bool, Error> {
    let done = sqlx::query("DELETE FROM console_session WHERE token_id = $1")
        .bind(token.as_str())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() == 1)
}
