//! Management keys, one row for each that was ever begun.

use super::{Connection, read_key};
use crate::model::{Management, ManagementState, ManagementStep, Receipt};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{ManagementId, ServerId, TenantId};
use keywright_domain::key::PublicKey;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// `look_again`: when a worker looks at it, if nobody else has ended it by then.
pub async fn insert(tx: &mut Tx, management: &Management, look_again: Instant) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO management (id, server_id, tenant_id, credential_id, version_id, username, kind, state, step, reason,
                                 comment, created_at, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, $11, $12)",
    )
    .bind(management.id.as_str())
    .bind(management.server.as_str())
    .bind(management.tenant.as_ref().map_or("", TenantId::as_str))
    .bind(management.credential.as_str())
    .bind(management.version.as_str())
    .bind(&management.username)
    .bind(management.kind.as_str())
    .bind(management.state.as_str())
    .bind(management.step.as_str())
    .bind(&management.comment)
    .bind(management.created_at.micros())
    .bind(look_again.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn generated(tx: &mut Tx, id: &ManagementId, key: &PublicKey) -> Result<(), Error> {
    sqlx::query("UPDATE management SET public_key = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(key.openssh())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The step after `done` begins; nothing happens where another process has gone further.
pub async fn begin_step(
    tx: &mut Tx,
    id: &ManagementId,
    done: ManagementStep,
    next: ManagementStep,
) -> Result<(), Error> {
    sqlx::query("UPDATE management SET step = $3 WHERE id = $1 AND state = 'RUNNING' AND step = $2")
        .bind(id.as_str())
        .bind(done.as_str())
        .bind(next.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn proven(tx: &mut Tx, id: &ManagementId, receipt: &Receipt) -> Result<(), Error> {
    sqlx::query("UPDATE management SET receipt = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(text(receipt)?)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn finish(
    tx: &mut Tx,
    id: &ManagementId,
    state: ManagementState,
    reason: &str,
) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE management SET state = $2, reason = $3, finished_at = $4, next_at = NULL WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(state.as_str())
    .bind(reason)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// It counts: whatever else counted on the server is its predecessor from now on and is looked at again at `until`;
/// what failed there may be cleaned up.
pub async fn counts(tx: &mut Tx, id: &ManagementId, server: &ServerId, until: Instant) -> Result<(), Error> {
    finish(tx, id, ManagementState::Succeeded, "").await?;
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE management SET replaced_at = $3, next_at = $4, attempts = 0
          WHERE server_id = $1 AND id <> $2 AND state = 'SUCCEEDED' AND replaced_at IS NULL AND removed_at IS NULL",
    )
    .bind(server.as_str())
    .bind(id.as_str())
    .bind(now)
    .bind(until.micros())
    .execute(tx.conn())
    .await?;
    sqlx::query(
        "UPDATE management SET next_at = $2
          WHERE server_id = $1 AND state = 'FAILED' AND removed_at IS NULL AND public_key IS NOT NULL",
    )
    .bind(server.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// It will not count; what it left is cleaned up at once. False where its promotion has begun: it may count already.
pub async fn turned_back(tx: &mut Tx, id: &ManagementId, reason: &str, message: &str) -> Result<bool, Error> {
    let now = tx.now().micros();
    let done = sqlx::query(
        "UPDATE management SET state = 'FAILED', reason = $2, message = $3, finished_at = $4, next_at = $4, attempts = 0
          WHERE id = $1 AND state = 'RUNNING' AND step <> 'PROMOTE'",
    )
    .bind(id.as_str())
    .bind(reason)
    .bind(message)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// None: nothing is left to be done about it.
pub async fn look_again(tx: &mut Tx, id: &ManagementId, at: Option<Instant>) -> Result<(), Error> {
    sqlx::query("UPDATE management SET next_at = $2, ending_at = NULL WHERE id = $1")
        .bind(id.as_str())
        .bind(at.map(Instant::micros))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// It failed once more.
pub async fn put_off(tx: &mut Tx, id: &ManagementId, until: Instant) -> Result<(), Error> {
    sqlx::query(
        "UPDATE management SET next_at = $2, ending_at = NULL, attempts = attempts + 1
          WHERE id = $1 AND next_at IS NOT NULL",
    )
    .bind(id.as_str())
    .bind(until.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A pass that takes its line off the host begins.
pub async fn begin_end(tx: &mut Tx, id: &ManagementId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE management SET ending_at = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Its line is gone from the host; a key that was in use was proven refused.
pub async fn removed(tx: &mut Tx, id: &ManagementId, refused: Option<&Receipt>) -> Result<(), Error> {
    let now = tx.now().micros();
    let refused = refused.map(text).transpose()?;
    sqlx::query(
        "UPDATE management SET removed_at = $2, refused = $3, ending_at = NULL, next_at = NULL WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(now)
    .bind(refused)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The revision for the next edit of its line: higher than all before.
pub async fn next_edit(tx: &mut Tx, id: &ManagementId) -> Result<u64, Error> {
    let row = sqlx::query(
        "UPDATE management SET edit_revision = edit_revision + 1 WHERE id = $1 RETURNING edit_revision",
    )
    .bind(id.as_str())
    .fetch_one(tx.conn())
    .await?;
    row.int("edit_revision")
}

pub async fn find(conn: &mut Connection, id: &ManagementId) -> Result<Option<Management>, Error> {
    let row = sqlx::query(
        "SELECT id, server_id, tenant_id, credential_id, version_id, public_key, username, kind, state, step, reason,
                message, comment, attempts, receipt, refused, created_at, finished_at, replaced_at, removed_at,
                ending_at, next_at
           FROM management WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(management).transpose()
}

/// Every one of the server, newest first.
pub async fn of(conn: &mut Connection, server: &ServerId) -> Result<Vec<Management>, Error> {
    let rows = sqlx::query(
        "SELECT id, server_id, tenant_id, credential_id, version_id, public_key, username, kind, state, step, reason,
                message, comment, attempts, receipt, refused, created_at, finished_at, replaced_at, removed_at,
                ending_at, next_at
           FROM management WHERE server_id = $1 ORDER BY created_at DESC, id DESC",
    )
    .bind(server.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(management).collect()
}

/// Every one, oldest first.
pub async fn all(conn: &mut Connection) -> Result<Vec<Management>, Error> {
    let rows = sqlx::query(
        "SELECT id, server_id, tenant_id, credential_id, version_id, public_key, username, kind, state, step, reason,
                message, comment, attempts, receipt, refused, created_at, finished_at, replaced_at, removed_at,
                ending_at, next_at
           FROM management ORDER BY created_at, id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(management).collect()
}

/// Those in use that came into use before `before`, oldest first; none of a server where something runs, or where
/// something was tried since `tried`.
pub async fn aged(
    conn: &mut Connection,
    before: Instant,
    tried: Instant,
    limit: i64,
) -> Result<Vec<Management>, Error> {
    let rows = sqlx::query(
        "SELECT m.id, m.server_id, m.tenant_id, m.credential_id, m.version_id, m.public_key, m.username, m.kind, m.state,
                m.step, m.reason, m.message, m.comment, m.attempts, m.receipt, m.refused, m.created_at, m.finished_at,
                m.replaced_at, m.removed_at, m.ending_at, m.next_at
           FROM management m
          WHERE m.state = 'SUCCEEDED' AND m.replaced_at IS NULL AND m.removed_at IS NULL AND m.finished_at <= $1
            AND NOT EXISTS (SELECT 1 FROM management o
                             WHERE o.server_id = m.server_id AND (o.state = 'RUNNING' OR o.created_at > $2))
          ORDER BY m.finished_at, m.id LIMIT $3",
    )
    .bind(before.micros())
    .bind(tried.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(management).collect()
}

/// Its line was found on the host though it had been removed: one that no longer counts is removed again.
pub async fn stands(tx: &mut Tx, id: &str) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE management SET removed_at = NULL,
                next_at = CASE WHEN replaced_at IS NOT NULL OR state = 'FAILED' THEN $2 ELSE next_at END
          WHERE id = $1",
    )
    .bind(id)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What a worker looks at now.
pub async fn due(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<ManagementId>, Error> {
    let rows = sqlx::query("SELECT id FROM management WHERE next_at <= $1 ORDER BY next_at LIMIT $2")
        .bind(now.micros())
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

fn text(receipt: &Receipt) -> Result<String, Error> {
    serde_json::to_string(receipt).map_err(|_| Error::Corrupt("receipt".to_owned()))
}

fn read_receipt(row: &AnyRow, column: &str) -> Result<Option<Receipt>, Error> {
    let text: Option<String> = row.opt_text(column)?;
    let receipt = text.map(|text| serde_json::from_str::<Receipt>(&text)).transpose();
    receipt.map_err(|_| Error::Corrupt(column.to_owned()))
}

fn management(row: &AnyRow) -> Result<Management, Error> {
    let tenant: String = row.text("tenant_id")?;
    Ok(Management {
        id: row.text("id")?,
        server: row.text("server_id")?,
        tenant: TenantId::parse(&tenant).ok(),
        credential: row.text("credential_id")?,
        version: row.text("version_id")?,
        public_key: read_key(row, "public_key")?,
        username: row.text("username")?,
        kind: row.text("kind")?,
        state: row.text("state")?,
        step: row.text("step")?,
        reason: row.text("reason")?,
        message: row.text("message")?,
        comment: row.text("comment")?,
        attempts: row.int("attempts")?,
        receipt: read_receipt(row, "receipt")?,
        refused: read_receipt(row, "refused")?,
        created_at: row.int("created_at")?,
        finished_at: row.opt_int("finished_at")?,
        replaced_at: row.opt_int("replaced_at")?,
        removed_at: row.opt_int("removed_at")?,
        ending_at: row.opt_int("ending_at")?,
        next_at: row.opt_int("next_at")?,
    })
}
