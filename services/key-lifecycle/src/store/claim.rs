//! Download claims, numbered per version by a unique key.

use super::Connection;
use crate::model::Claim;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ClaimId, VersionId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, claim: &Claim) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO download_claim (id, access_id, version_id, number, principal, session, created_at, expires_at)
         SELECT $1, $2, $3, COALESCE(MAX(number), 0) + 1, $4, $5, CAST($6 AS BIGINT), CAST($7 AS BIGINT)
           FROM download_claim WHERE version_id = $3",
    )
    .bind(claim.id.as_str())
    .bind(claim.access.as_str())
    .bind(claim.version.as_str())
    .bind(&claim.principal)
    .bind(&claim.session)
    .bind(claim.created_at.micros())
    .bind(claim.expires_at.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Nothing was handed out under it.
pub async fn give_back(tx: &mut Tx, id: &ClaimId) -> Result<(), Error> {
    sqlx::query("DELETE FROM download_claim WHERE id = $1 AND acknowledged_at IS NULL")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn acknowledge(tx: &mut Tx, id: &ClaimId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE download_claim SET acknowledged_at = $2 WHERE id = $1 AND acknowledged_at IS NULL")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Oldest first.
pub async fn of_version(conn: &mut Connection, version: &VersionId) -> Result<Vec<Claim>, Error> {
    let rows = sqlx::query(
        "SELECT id, access_id, version_id, principal, session, created_at, expires_at, acknowledged_at
           FROM download_claim WHERE version_id = $1 ORDER BY number",
    )
    .bind(version.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(claim).collect()
}

pub async fn find(conn: &mut Connection, access: &AccessId, id: &ClaimId) -> Result<Option<Claim>, Error> {
    let row = sqlx::query(
        "SELECT id, access_id, version_id, principal, session, created_at, expires_at, acknowledged_at
           FROM download_claim WHERE access_id = $1 AND id = $2",
    )
    .bind(access.as_str())
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(claim).transpose()
}

/// Whether any version was ever claimed under this id.
pub async fn exists(conn: &mut Connection, id: &ClaimId) -> Result<bool, Error> {
    let row = sqlx::query("SELECT id FROM download_claim WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

fn claim(row: &AnyRow) -> Result<Claim, Error> {
    Ok(Claim {
        id: row.text("id")?,
        access: row.text("access_id")?,
        version: row.text("version_id")?,
        principal: row.text("principal")?,
        session: row.text("session")?,
        created_at: row.int("created_at")?,
        expires_at: row.int::<Instant>("expires_at")?,
        acknowledged_at: row.opt_int("acknowledged_at")?,
    })
}
