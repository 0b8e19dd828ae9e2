//! Brakes: whose automation is stopped.

use super::Connection;
use crate::model::Freeze;
use keywright_domain::ids::TenantId;
use keywright_storage::{Columns, Error, Tx};

/// The row of the whole installation.
const EVERYBODY: &str = "";

/// Whether no automatic work may begin for the tenant: its own brake or everybody's is pulled.
pub async fn is_frozen(conn: &mut Connection, tenant: &TenantId) -> Result<bool, Error> {
    let found = sqlx::query("SELECT tenant_id FROM automation_freeze WHERE tenant_id = '' OR tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}

/// A brake that is pulled already keeps who pulled it, and when.
pub async fn pull(tx: &mut Tx, tenant: Option<&TenantId>, by: &str, comment: &str) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO automation_freeze (tenant_id, frozen_at, frozen_by, comment) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id) DO NOTHING",
    )
    .bind(tenant.map_or(EVERYBODY, TenantId::as_str))
    .bind(now)
    .bind(by)
    .bind(comment)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn release(tx: &mut Tx, tenant: Option<&TenantId>) -> Result<(), Error> {
    sqlx::query("DELETE FROM automation_freeze WHERE tenant_id = $1")
        .bind(tenant.map_or(EVERYBODY, TenantId::as_str))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Everybody's first.
pub async fn all(conn: &mut Connection) -> Result<Vec<Freeze>, Error> {
    let rows = sqlx::query(
        "SELECT tenant_id, frozen_at, frozen_by, comment FROM automation_freeze ORDER BY tenant_id",
    )
    .fetch_all(conn)
    .await?;
    let freezes = rows.iter().map(|row| {
        let tenant: String = row.text("tenant_id")?;
        let tenant = (!tenant.is_empty()).then(|| TenantId::parse(&tenant)).transpose();
        Ok(Freeze {
            tenant: tenant.map_err(|_| Error::Corrupt("tenant_id".to_owned()))?,
            frozen_at: row.int("frozen_at")?,
            frozen_by: row.text("frozen_by")?,
            comment: row.text("comment")?,
        })
    });
    freezes.collect()
}
