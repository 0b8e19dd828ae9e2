//! Notices of host keys, until key-lifecycle has them.

use super::labels;
use crate::domain::host_key_notice::HostKeyNotice;
use keywright_domain::clock::Instant;
use keywright_domain::ids::EventId;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, notice: &HostKeyNotice) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO host_key_notice (id, event, tenant_id, server_id, details, created_at, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(notice.id.as_str())
    .bind(notice.event.as_str())
    .bind(notice.tenant.as_str())
    .bind(notice.server.as_str())
    .bind(labels::encode(&notice.details))
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Oldest first.
pub async fn due(db: &Db, now: Instant, limit: i64) -> Result<Vec<HostKeyNotice>, Error> {
    let rows = sqlx::query(
        "SELECT id, event, tenant_id, server_id, details FROM host_key_notice
          WHERE next_at <= $1 ORDER BY created_at, id LIMIT $2",
    )
    .bind(now.micros())
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(decode).collect()
}

pub async fn delete(tx: &mut Tx, id: &EventId) -> Result<(), Error> {
    sqlx::query("DELETE FROM host_key_notice WHERE id = $1").bind(id.as_str()).execute(tx.conn()).await?;
    Ok(())
}

/// Tried again then.
pub async fn put_off(tx: &mut Tx, id: &EventId, until: Instant) -> Result<(), Error> {
    sqlx::query("UPDATE host_key_notice SET next_at = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(until.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn decode(row: &AnyRow) -> Result<HostKeyNotice, Error> {
    Ok(HostKeyNotice {
        id: row.text("id")?,
        event: row.text("event")?,
        tenant: row.text("tenant_id")?,
        server: row.text("server_id")?,
        details: labels::decode(&row.text::<String>("details")?)?,
    })
}
