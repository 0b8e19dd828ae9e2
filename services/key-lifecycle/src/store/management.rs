//! Installations of management keys.

use super::{Connection, read_key};
use crate::model::{Management, ManagementState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{ManagementId, ServerId};
use keywright_domain::key::PublicKey;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// `look_again`: when it is taken for interrupted.
pub async fn insert(tx: &mut Tx, management: &Management, look_again: Instant) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO management (id, server_id, credential_id, version_id, username, state, reason, created_at, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8)",
    )
    .bind(management.id.as_str())
    .bind(management.server.as_str())
    .bind(management.credential.as_str())
    .bind(management.version.as_str())
    .bind(&management.username)
    .bind(management.state.as_str())
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

pub async fn look_again(tx: &mut Tx, id: &ManagementId, at: Instant) -> Result<(), Error> {
    sqlx::query("UPDATE management SET next_at = $2 WHERE id = $1 AND state = 'RUNNING'")
        .bind(id.as_str())
        .bind(at.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Its line is gone from the host.
pub async fn removed(tx: &mut Tx, id: &ManagementId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE management SET removed_at = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn find(conn: &mut Connection, id: &ManagementId) -> Result<Option<Management>, Error> {
    let row = sqlx::query(
        "SELECT id, server_id, credential_id, version_id, public_key, username, state, created_at
           FROM management WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(management).transpose()
}

/// Those whose line may stand on the server: installed, or failed half-way, and not removed since. Newest first.
pub async fn standing(conn: &mut Connection, server: &ServerId) -> Result<Vec<Management>, Error> {
    let rows = sqlx::query(
        "SELECT id, server_id, credential_id, version_id, public_key, username, state, created_at
           FROM management
          WHERE server_id = $1 AND removed_at IS NULL AND public_key IS NOT NULL AND state <> 'RUNNING'
          ORDER BY created_at DESC, id DESC",
    )
    .bind(server.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(management).collect()
}

/// Every one, with when its line was removed; oldest first.
pub async fn all(conn: &mut Connection) -> Result<Vec<(Management, Option<Instant>)>, Error> {
    let rows = sqlx::query(
        "SELECT id, server_id, credential_id, version_id, public_key, username, state, created_at, removed_at
           FROM management ORDER BY created_at, id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((management(row)?, row.opt_int("removed_at")?))).collect()
}

/// Its line was found on the host though it had been removed.
pub async fn stands(tx: &mut Tx, id: &str) -> Result<(), Error> {
    sqlx::query("UPDATE management SET removed_at = NULL WHERE id = $1").bind(id).execute(tx.conn()).await?;
    Ok(())
}

/// Whether an installation on the server is under way.
pub async fn running(conn: &mut Connection, server: &ServerId) -> Result<Option<ManagementId>, Error> {
    let row = sqlx::query("SELECT id FROM management WHERE server_id = $1 AND state = 'RUNNING' LIMIT 1")
        .bind(server.as_str())
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.text("id")).transpose()
}

/// Interrupted ones.
pub async fn due(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<ManagementId>, Error> {
    let rows = sqlx::query("SELECT id FROM management WHERE next_at <= $1 ORDER BY next_at LIMIT $2")
        .bind(now.micros())
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

fn management(row: &AnyRow) -> Result<Management, Error> {
    Ok(Management {
        id: row.text("id")?,
        server: row.text("server_id")?,
        credential: row.text("credential_id")?,
        version: row.text("version_id")?,
        public_key: read_key(row, "public_key")?,
        username: row.text("username")?,
        state: row.text::<ManagementState>("state")?,
        created_at: row.int("created_at")?,
    })
}
