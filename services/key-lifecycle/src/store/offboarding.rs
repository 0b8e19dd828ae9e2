//! Tenants that leave, and the files that are kept of them.

use super::{Connection, list, read_list};
use crate::model::{Offboarding, OffboardingState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, TenantId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// To be driven at once.
pub async fn insert(tx: &mut Tx, tenant: &TenantId, comment: &str, accesses: usize) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO offboarding (tenant_id, state, comment, accesses, outstanding, waits_for, requested_at, attempts, next_at)
         VALUES ($1, $5, $2, $3, 0, '[]', $4, 0, $4)",
    )
    .bind(tenant.as_str())
    .bind(comment)
    .bind(i64::try_from(accesses).unwrap_or(i64::MAX))
    .bind(now)
    .bind(OffboardingState::Running.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// It waits, and looks again then.
pub async fn wait(
    tx: &mut Tx,
    tenant: &TenantId,
    outstanding: usize,
    waits_for: &[String],
    until: Instant,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE offboarding SET outstanding = $2, waits_for = $3, next_at = $4, attempts = attempts + 1
          WHERE tenant_id = $1 AND state = 'RUNNING'",
    )
    .bind(tenant.as_str())
    .bind(i64::try_from(outstanding).unwrap_or(i64::MAX))
    .bind(list(waits_for))
    .bind(until.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The file is whole in the same transaction, in the place of an earlier one.
pub async fn export(tx: &mut Tx, tenant: &TenantId, pieces: &[String]) -> Result<(), Error> {
    sqlx::query("DELETE FROM offboarding_export WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .execute(tx.conn())
        .await?;
    for (position, piece) in (1i64..).zip(pieces) {
        sqlx::query("INSERT INTO offboarding_export (tenant_id, position, content) VALUES ($1, $2, $3)")
            .bind(tenant.as_str())
            .bind(position)
            .bind(piece)
            .execute(tx.conn())
            .await?;
    }
    let now = tx.now().micros();
    sqlx::query("UPDATE offboarding SET exported_at = $2, outstanding = 0 WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The file, in its order.
pub async fn exported(conn: &mut Connection, tenant: &TenantId) -> Result<String, Error> {
    let rows = sqlx::query("SELECT content FROM offboarding_export WHERE tenant_id = $1 ORDER BY position")
        .bind(tenant.as_str())
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.text::<String>("content")).collect()
}

/// The tenant is deleted; nobody is told of anything in its name any more.
pub async fn finish(tx: &mut Tx, tenant: &TenantId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE offboarding SET state = 'SUCCEEDED', outstanding = 0, waits_for = '[]', finished_at = $2, next_at = NULL
          WHERE tenant_id = $1 AND state = 'RUNNING'",
    )
    .bind(tenant.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn find(conn: &mut Connection, tenant: &TenantId) -> Result<Option<Offboarding>, Error> {
    let row = sqlx::query(
        "SELECT tenant_id, state, comment, accesses, outstanding, waits_for, requested_at, exported_at, finished_at, attempts
           FROM offboarding WHERE tenant_id = $1",
    )
    .bind(tenant.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(offboarding).transpose()
}

pub async fn due(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<TenantId>, Error> {
    let rows = sqlx::query("SELECT tenant_id FROM offboarding WHERE next_at <= $1 ORDER BY next_at LIMIT $2")
        .bind(now.micros())
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.text("tenant_id")).collect()
}

/// Every access that the tenant ever had, oldest first; `open`: only those that have not ended.
pub async fn accesses(conn: &mut Connection, tenant: &TenantId, open: bool) -> Result<Vec<AccessId>, Error> {
    let rows = sqlx::query(
        "SELECT id FROM access
          WHERE tenant_id = $1 AND ($2 = 0 OR (closed_at IS NULL AND deprovisioned_at IS NULL))
          ORDER BY created_at, id",
    )
    .bind(tenant.as_str())
    .bind(i64::from(open))
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

fn offboarding(row: &AnyRow) -> Result<Offboarding, Error> {
    Ok(Offboarding {
        tenant: row.text("tenant_id")?,
        state: row.text("state")?,
        comment: row.text("comment")?,
        accesses: row.int("accesses")?,
        outstanding: row.int("outstanding")?,
        waits_for: read_list(row, "waits_for")?,
        requested_at: row.int("requested_at")?,
        exported_at: row.opt_int("exported_at")?,
        finished_at: row.opt_int("finished_at")?,
        attempts: row.int("attempts")?,
    })
}
