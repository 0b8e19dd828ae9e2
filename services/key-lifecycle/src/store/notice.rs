//! Notices, as they are written with what they tell of, until everybody who wants them has a message.

use super::Connection;
use crate::model::{Notice, Untold};
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// Nothing happens where the same was told before.
pub async fn write(tx: &mut Tx, notice: &Notice) -> Result<(), Error> {
    let details = serde_json::to_string(&notice.details).unwrap_or_else(|_| "{}".to_owned());
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO notice (dedup, event, tenant_id, subject, details, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (dedup) DO NOTHING",
    )
    .bind(&notice.dedup)
    .bind(notice.event)
    .bind(notice.tenant.as_ref().map_or("", TenantId::as_str))
    .bind(&notice.subject)
    .bind(details)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Those that nobody was told of, the oldest first.
pub async fn untold(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<Untold>, Error> {
    let rows = sqlx::query(
        "SELECT dedup, event, tenant_id, subject, details, created_at FROM notice
          WHERE fanned_out_at IS NULL AND fan_out_at <= $1 ORDER BY created_at, dedup LIMIT $2",
    )
    .bind(now.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(untold_row).collect()
}

/// One of them, by what it tells of.
pub async fn find_untold(conn: &mut Connection, dedup: &str) -> Result<Option<Untold>, Error> {
    let row = sqlx::query(
        "SELECT dedup, event, tenant_id, subject, details, created_at FROM notice
          WHERE dedup = $1 AND fanned_out_at IS NULL",
    )
    .bind(dedup)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(untold_row).transpose()
}

pub async fn told(tx: &mut Tx, dedup: &str) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE notice SET fanned_out_at = $2 WHERE dedup = $1 AND fanned_out_at IS NULL")
        .bind(dedup)
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Looked at again then.
pub async fn put_off(tx: &mut Tx, dedup: &str, until: Instant) -> Result<(), Error> {
    sqlx::query("UPDATE notice SET fan_out_at = $2 WHERE dedup = $1 AND fanned_out_at IS NULL")
        .bind(dedup)
        .bind(until.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Only that they were told stays, so that nothing is told twice, and that goes too in the end.
pub async fn purge(tx: &mut Tx, bare_before: Instant, gone_before: Instant) -> Result<(), Error> {
    sqlx::query("UPDATE notice SET details = '{}' WHERE fanned_out_at < $1 AND details <> '{}'")
        .bind(bare_before.micros())
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM notice WHERE fanned_out_at < $1")
        .bind(gone_before.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn untold_row(row: &AnyRow) -> Result<Untold, Error> {
    let (tenant, details): (String, String) = (row.text("tenant_id")?, row.text("details")?);
    Ok(Untold {
        dedup: row.text("dedup")?,
        event: row.text("event")?,
        tenant: TenantId::parse(&tenant).ok(),
        subject: row.text("subject")?,
        details: serde_json::from_str(&details).map_err(|_| Error::Corrupt("details".to_owned()))?,
        at: row.int("created_at")?,
    })
}

pub async fn was_told(conn: &mut Connection, dedup: &str) -> Result<bool, Error> {
    let row =
        sqlx::query("SELECT dedup FROM notice WHERE dedup = $1").bind(dedup).fetch_optional(conn).await?;
    Ok(row.is_some())
}
