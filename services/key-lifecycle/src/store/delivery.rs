//! Messages to those who are told.

use super::Connection;
use crate::model::{Delivery, Recipient};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{NotificationTargetId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// What an owner must hear of, even where its target was deleted since.
pub const OWED: &str = "invitation.created";

fn columns(to: &Recipient) -> (&str, &str) {
    match to {
        Recipient::Target(id) => (id.as_str(), ""),
        Recipient::Contact(address) => ("", address),
    }
}

/// Nothing happens where the recipient has a message of the same notice.
pub async fn insert(tx: &mut Tx, delivery: &Delivery) -> Result<(), Error> {
    let (target, contact) = columns(&delivery.to);
    let details = serde_json::to_string(&delivery.details).unwrap_or_else(|_| "{}".to_owned());
    sqlx::query(
        "INSERT INTO notification_delivery (id, target_id, contact, dedup, event, tenant_id, subject, details,
                                            occurred_at, state, attempts, created_at, next_at, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '')
         ON CONFLICT (dedup, target_id, contact) DO NOTHING",
    )
    .bind(delivery.id.as_str())
    .bind(target)
    .bind(contact)
    .bind(&delivery.dedup)
    .bind(&delivery.event)
    .bind(delivery.tenant.as_ref().map_or("", TenantId::as_str))
    .bind(&delivery.subject)
    .bind(details)
    .bind(delivery.occurred_at.micros())
    .bind(delivery.state.as_str())
    .bind(i64::from(delivery.attempts))
    .bind(delivery.created_at.micros())
    .bind(delivery.next_at.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn update(tx: &mut Tx, delivery: &Delivery) -> Result<(), Error> {
    sqlx::query(
        "UPDATE notification_delivery SET state = $2, attempts = $3, delivered_at = $4, next_at = $5, error = $6
          WHERE id = $1",
    )
    .bind(delivery.id.as_str())
    .bind(delivery.state.as_str())
    .bind(i64::from(delivery.attempts))
    .bind(delivery.delivered_at.map(Instant::micros))
    .bind(delivery.next_at.map(Instant::micros))
    .bind(&delivery.error)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The oldest due message of each recipient: of those whose last message failed, or of all others.
pub async fn due(
    conn: &mut Connection,
    now: Instant,
    failing: bool,
    limit: i64,
) -> Result<Vec<Delivery>, Error> {
    let rows = sqlx::query(
        "SELECT oldest.id, target_id, contact, dedup, event, oldest.tenant_id, subject, details, occurred_at, state,
                attempts, oldest.created_at, delivered_at, next_at, error
           FROM (SELECT id, target_id, contact, dedup, event, tenant_id, subject, details, occurred_at, state, attempts,
                        created_at, delivered_at, next_at, error,
                        ROW_NUMBER() OVER (PARTITION BY target_id, contact ORDER BY created_at, id) AS place
                   FROM notification_delivery WHERE next_at <= $1) oldest
           LEFT JOIN notification_target t ON t.id = oldest.target_id
          WHERE place = 1 AND CASE WHEN t.failing_since IS NULL THEN 0 ELSE 1 END = $2
          ORDER BY next_at, oldest.id LIMIT $3",
    )
    .bind(now.micros())
    .bind(i64::from(failing))
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(delivery).collect()
}

pub async fn is_due(conn: &mut Connection, now: Instant) -> Result<bool, Error> {
    let row = sqlx::query("SELECT id FROM notification_delivery WHERE next_at <= $1 LIMIT 1")
        .bind(now.micros())
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// Newest first.
pub async fn page(
    conn: &mut Connection,
    target: &NotificationTargetId,
    page: &Page,
) -> Result<Vec<Delivery>, Error> {
    let (before, id) = page.key();
    let rows = sqlx::query(
        "SELECT id, target_id, contact, dedup, event, tenant_id, subject, details, occurred_at, state, attempts,
                created_at, delivered_at, next_at, error
           FROM notification_delivery
          WHERE target_id = $1 AND (created_at < $2 OR (created_at = $2 AND id < $3))
          ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(target.as_str())
    .bind(before)
    .bind(id)
    .bind(page.size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(delivery).collect()
}

/// Of a target that was deleted: what an owner must hear of stays.
pub async fn drop_undelivered(tx: &mut Tx, target: &NotificationTargetId) -> Result<(), Error> {
    sqlx::query(
        "DELETE FROM notification_delivery WHERE target_id = $1 AND state = 'PENDING' AND event <> $2",
    )
    .bind(target.as_str())
    .bind(OWED)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Of a target that is gone: nothing is tried again.
pub async fn give_up(tx: &mut Tx, target: &NotificationTargetId, error: &str) -> Result<(), Error> {
    sqlx::query(
        "UPDATE notification_delivery SET state = 'FAILED', next_at = NULL, error = $2
          WHERE target_id = $1 AND state = 'PENDING'",
    )
    .bind(target.as_str())
    .bind(error)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn purge(tx: &mut Tx, before: Instant) -> Result<(), Error> {
    sqlx::query("DELETE FROM notification_delivery WHERE created_at < $1")
        .bind(before.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn delivery(row: &AnyRow) -> Result<Delivery, Error> {
    let (target, contact): (String, String) = (row.text("target_id")?, row.text("contact")?);
    let (tenant, details): (String, String) = (row.text("tenant_id")?, row.text("details")?);
    let to = if target.is_empty() {
        Recipient::Contact(contact)
    } else {
        let id = NotificationTargetId::parse(&target);
        Recipient::Target(id.map_err(|_| Error::Corrupt("target_id".to_owned()))?)
    };
    Ok(Delivery {
        id: row.text("id")?,
        to,
        dedup: row.text("dedup")?,
        event: row.text("event")?,
        tenant: TenantId::parse(&tenant).ok(),
        subject: row.text("subject")?,
        details: serde_json::from_str(&details).map_err(|_| Error::Corrupt("details".to_owned()))?,
        occurred_at: row.int("occurred_at")?,
        state: row.text("state")?,
        attempts: row.int("attempts")?,
        created_at: row.int("created_at")?,
        delivered_at: row.opt_int("delivered_at")?,
        next_at: row.opt_int("next_at")?,
        error: row.text("error")?,
    })
}
