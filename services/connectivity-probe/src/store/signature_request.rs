//! Logins that wait for the signature of a key that stays with the caller.

use super::Connection;
use crate::dialogue::{Answer, Refusal};
use keywright_domain::clock::Instant;
use keywright_domain::ids::SignatureRequestId;
use keywright_domain::key::UserauthRequest;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// One that nobody has answered yet.
pub struct Open {
    pub id: SignatureRequestId,
    pub principal: String,
    pub login: UserauthRequest,
}

pub async fn insert(
    tx: &mut Tx,
    id: &SignatureRequestId,
    principal: &str,
    login: &UserauthRequest,
    expires_at: Instant,
) -> Result<(), Error> {
    let nothing: &[u8] = &[];
    sqlx::query(
        "INSERT INTO signature_request (id, principal, login, expires_at, attempts, signature, refusal)
         VALUES ($1, $2, $3, $4, 0, $5, '')",
    )
    .bind(id.as_str())
    .bind(principal)
    .bind(login.signed_bytes())
    .bind(expires_at.micros())
    .bind(nothing)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn open(
    conn: &mut Connection,
    id: &SignatureRequestId,
    now: Instant,
) -> Result<Option<Open>, Error> {
    let row = sqlx::query(
        "SELECT id, principal, login FROM signature_request
          WHERE id = $1 AND answered_at IS NULL AND expires_at > $2",
    )
    .bind(id.as_str())
    .bind(now.micros())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read_open).transpose()
}

/// Whether it was still to be answered.
pub async fn answer(tx: &mut Tx, id: &SignatureRequestId, answer: &Answer) -> Result<bool, Error> {
    let now = tx.now();
    let nothing: &[u8] = &[];
    let (signature, refusal) = match answer {
        Answer::Signature(signature) => (signature.as_slice(), ""),
        Answer::Refused(refusal) => (nothing, refusal.as_str()),
    };
    let done = sqlx::query(
        "UPDATE signature_request SET answered_at = $2, signature = $3, refusal = $4
          WHERE id = $1 AND answered_at IS NULL AND expires_at > $2",
    )
    .bind(id.as_str())
    .bind(now.micros())
    .bind(signature)
    .bind(refusal)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Counts a wrong signature; how many there were with it.
pub async fn count_attempt(tx: &mut Tx, id: &SignatureRequestId) -> Result<i64, Error> {
    sqlx::query("UPDATE signature_request SET attempts = attempts + 1 WHERE id = $1")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    let row = sqlx::query("SELECT attempts FROM signature_request WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(tx.conn())
        .await?;
    row.map_or(Ok(0), |row| row.int("attempts"))
}

pub async fn answer_of(conn: &mut Connection, id: &SignatureRequestId) -> Result<Option<Answer>, Error> {
    let row = sqlx::query(
        "SELECT signature, refusal FROM signature_request WHERE id = $1 AND answered_at IS NOT NULL",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read_answer).transpose()
}

/// The end of the request: what was answered until now, and no row any more.
pub async fn take(tx: &mut Tx, id: &SignatureRequestId) -> Result<Option<Answer>, Error> {
    let answer = answer_of(tx.conn(), id).await?;
    sqlx::query("DELETE FROM signature_request WHERE id = $1").bind(id.as_str()).execute(tx.conn()).await?;
    Ok(answer)
}

/// Left behind by a process that ended before its test did.
pub async fn purge(tx: &mut Tx, before: Instant) -> Result<(), Error> {
    sqlx::query("DELETE FROM signature_request WHERE expires_at < $1")
        .bind(before.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn read_open(row: &AnyRow) -> Result<Open, Error> {
    let login = UserauthRequest::parse(&row.blob("login")?);
    Ok(Open {
        id: row.text("id")?,
        principal: row.text("principal")?,
        login: login.map_err(|_| Error::Corrupt("login".to_owned()))?,
    })
}

fn read_answer(row: &AnyRow) -> Result<Answer, Error> {
    let refusal: String = row.text("refusal")?;
    if refusal.is_empty() {
        return Ok(Answer::Signature(row.blob("signature")?));
    }
    Refusal::parse(&refusal).map(Answer::Refused).ok_or_else(|| Error::Corrupt("refusal".to_owned()))
}
