//! Releases of servers, and what they change in the accesses that had the server.

use super::Connection;
use crate::model::{Receipt, Release, Staying};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{
    AccessId, CredentialId, ManagementId, RevocationId, RotationId, ServerId, TenantId,
};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// `look_again`: when a worker goes on with it, if nobody else has ended it by then.
pub async fn insert(tx: &mut Tx, release: &Release, look_again: Instant) -> Result<(), Error> {
    let staying =
        serde_json::to_string(&release.staying).map_err(|_| Error::Corrupt("staying".to_owned()))?;
    sqlx::query(
        "INSERT INTO server_release (id, server_id, tenant_id, state, credential_id, staying, comment, requested_at, attempts,
                                     next_at, may_stay_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10)",
    )
    .bind(release.id.as_str())
    .bind(release.server.as_str())
    .bind(release.tenant.as_str())
    .bind(release.state.as_str())
    .bind(release.other.as_ref().map_or("", CredentialId::as_str))
    .bind(staying)
    .bind(&release.comment)
    .bind(release.requested_at.micros())
    .bind(look_again.micros())
    .bind(release.may_stay.then_some(release.requested_at.micros()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keywright's own line is gone.
pub async fn removed(
    tx: &mut Tx,
    id: &ManagementId,
    other_path: &Receipt,
    refused: &Receipt,
) -> Result<(), Error> {
    sqlx::query("UPDATE server_release SET other_path = $2, refused = $3 WHERE id = $1")
        .bind(id.as_str())
        .bind(text(other_path)?)
        .bind(text(refused)?)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Keywright's own line is left.
pub async fn leave_line(tx: &mut Tx, id: &ManagementId) -> Result<(), Error> {
    sqlx::query("UPDATE server_release SET credential_id = '' WHERE id = $1 AND state = 'RUNNING'")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn finish(tx: &mut Tx, id: &ManagementId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE server_release SET state = 'SUCCEEDED', finished_at = $2, next_at = NULL WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn put_off(tx: &mut Tx, id: &ManagementId, until: Instant) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server_release SET next_at = $2, attempts = attempts + 1 WHERE id = $1 AND state = 'RUNNING'",
    )
    .bind(id.as_str())
    .bind(until.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn find(conn: &mut Connection, id: &ManagementId) -> Result<Option<Release>, Error> {
    let row = sqlx::query(
        "SELECT id, server_id, tenant_id, state, credential_id, staying, comment, other_path, refused, requested_at,
                finished_at, attempts, may_stay_at
           FROM server_release WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(release).transpose()
}

/// The release of the server that has begun and not ended, if any: it only goes forward.
pub async fn running_on(conn: &mut Connection, server: &ServerId) -> Result<Option<ManagementId>, Error> {
    let row = sqlx::query("SELECT id FROM server_release WHERE server_id = $1 AND state = 'RUNNING' LIMIT 1")
        .bind(server.as_str())
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.text("id")).transpose()
}

/// The last of the server.
pub async fn last(conn: &mut Connection, server: &ServerId) -> Result<Option<Release>, Error> {
    let row = sqlx::query(
        "SELECT id, server_id, tenant_id, state, credential_id, staying, comment, other_path, refused, requested_at,
                finished_at, attempts, may_stay_at
           FROM server_release WHERE server_id = $1 ORDER BY requested_at DESC, id DESC LIMIT 1",
    )
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(release).transpose()
}

/// Every one of the tenant, oldest first.
pub async fn of_tenant(conn: &mut Connection, tenant: &TenantId) -> Result<Vec<Release>, Error> {
    let rows = sqlx::query(
        "SELECT id, server_id, tenant_id, state, credential_id, staying, comment, other_path, refused, requested_at,
                finished_at, attempts, may_stay_at
           FROM server_release WHERE tenant_id = $1 ORDER BY requested_at, id",
    )
    .bind(tenant.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(release).collect()
}

pub async fn due(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<ManagementId>, Error> {
    let rows = sqlx::query("SELECT id FROM server_release WHERE next_at <= $1 ORDER BY next_at LIMIT $2")
        .bind(now.micros())
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// The accesses that have the server for a host.
pub async fn accesses(conn: &mut Connection, server: &ServerId) -> Result<Vec<AccessId>, Error> {
    let rows = sqlx::query(
        "SELECT access_id FROM access_host WHERE server_id = $1 AND left_at IS NULL ORDER BY access_id",
    )
    .bind(server.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("access_id")).collect()
}

/// The accesses that lost the server.
pub async fn left(conn: &mut Connection, server: &ServerId) -> Result<Vec<AccessId>, Error> {
    let rows = sqlx::query(
        "SELECT access_id FROM access_host WHERE server_id = $1 AND left_at IS NOT NULL ORDER BY access_id",
    )
    .bind(server.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("access_id")).collect()
}

/// A rotation that is to touch the server yet.
pub async fn rotation_on(conn: &mut Connection, server: &ServerId) -> Result<Option<RotationId>, Error> {
    let row = sqlx::query(
        "SELECT r.id FROM rotation r JOIN access_host h ON h.access_id = r.access_id
          WHERE h.server_id = $1 AND h.left_at IS NULL AND r.state IN ('RUNNING', 'CONVERGING') LIMIT 1",
    )
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.text("id")).transpose()
}

/// A revocation that the server has not proven yet.
pub async fn revocation_on(conn: &mut Connection, server: &ServerId) -> Result<Option<RevocationId>, Error> {
    let row = sqlx::query(
        "SELECT r.id FROM revocation r JOIN revocation_host h ON h.revocation_id = r.id
          WHERE h.server_id = $1 AND h.proven_at IS NULL AND r.state = 'RUNNING' LIMIT 1",
    )
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.text("id")).transpose()
}

/// How many keys wait to be removed from the server.
pub async fn leaving_on(conn: &mut Connection, server: &ServerId) -> Result<i64, Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS leaving FROM host_line l JOIN access_host h
             ON h.access_id = l.access_id AND h.server_id = l.server_id
          WHERE l.server_id = $1 AND l.state = 'REMOVAL_PENDING' AND h.left_at IS NULL",
    )
    .bind(server.as_str())
    .fetch_one(conn)
    .await?;
    row.int("leaving")
}

/// No access has the server for a host any more, nothing that was still to be done there is, and its accounts are free.
/// What stands on it stays.
pub async fn leave(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE access_host SET left_at = $2 WHERE server_id = $1 AND left_at IS NULL")
        .bind(server.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM host_account WHERE server_id = $1")
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "UPDATE rotation_step SET state = 'DONE', finished_at = $2, reason = '',
                message = 'The server was released: what stands there stays.'
          WHERE server_id = $1 AND state <> 'DONE' AND state <> 'UNDONE'
            AND rotation_id IN (SELECT id FROM rotation WHERE next_at IS NOT NULL)",
    )
    .bind(server.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn text(receipt: &Receipt) -> Result<String, Error> {
    serde_json::to_string(receipt).map_err(|_| Error::Corrupt("receipt".to_owned()))
}

fn read_receipt(row: &AnyRow, column: &str) -> Result<Option<Receipt>, Error> {
    let text: Option<String> = row.opt_text(column)?;
    let receipt = text.map(|text| serde_json::from_str::<Receipt>(&text)).transpose();
    receipt.map_err(|_| Error::Corrupt(column.to_owned()))
}

fn release(row: &AnyRow) -> Result<Release, Error> {
    let (other, staying): (String, String) = (row.text("credential_id")?, row.text("staying")?);
    let staying: Vec<Staying> =
        serde_json::from_str(&staying).map_err(|_| Error::Corrupt("staying".to_owned()))?;
    Ok(Release {
        id: row.text("id")?,
        server: row.text("server_id")?,
        tenant: row.text("tenant_id")?,
        state: row.text("state")?,
        other: CredentialId::parse(&other).ok(),
        may_stay: row.opt_int::<i64>("may_stay_at")?.is_some(),
        staying,
        comment: row.text("comment")?,
        other_path: read_receipt(row, "other_path")?,
        refused: read_receipt(row, "refused")?,
        requested_at: row.int("requested_at")?,
        finished_at: row.opt_int("finished_at")?,
        attempts: row.int("attempts")?,
    })
}
