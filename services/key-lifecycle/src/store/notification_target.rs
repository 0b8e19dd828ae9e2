//! Whom to tell.

use super::{Connection, list, read_list};
use crate::model::{PreviousSecret, Target};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{NotificationTargetId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

fn owner(tenant: Option<&TenantId>) -> &str {
    tenant.map_or("", TenantId::as_str)
}

pub async fn insert(tx: &mut Tx, target: &Target) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO notification_target (id, tenant_id, kind, address, events, salt, secret_check, created_at,
                                          created_by, own_at, last_error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '')",
    )
    .bind(target.id.as_str())
    .bind(owner(target.tenant.as_ref()))
    .bind(target.kind.as_str())
    .bind(&target.address)
    .bind(list(&target.events))
    .bind(&target.salt)
    .bind(&target.secret_check)
    .bind(target.created_at.micros())
    .bind(&target.created_by)
    .bind(target.own.then_some(target.created_at.micros()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Also one that was deleted: what it still has to get is sent to it.
pub async fn find(conn: &mut Connection, id: &NotificationTargetId) -> Result<Option<Target>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, kind, address, events, salt, secret_check, previous_salt, previous_until, created_at,
                created_by, own_at, last_delivered_at, failing_since, last_error, disabled_at, deleted_at
           FROM notification_target WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(target).transpose()
}

/// A tenant's, or the platform's.
pub async fn of(conn: &mut Connection, tenant: Option<&TenantId>) -> Result<Vec<Target>, Error> {
    let rows = sqlx::query(
        "SELECT id, tenant_id, kind, address, events, salt, secret_check, previous_salt, previous_until, created_at,
                created_by, own_at, last_delivered_at, failing_since, last_error, disabled_at, deleted_at
           FROM notification_target WHERE tenant_id = $1 AND deleted_at IS NULL ORDER BY created_at, id",
    )
    .bind(owner(tenant))
    .fetch_all(conn)
    .await?;
    rows.iter().map(target).collect()
}

/// Newest first; of one tenant, or everybody's.
pub async fn page(
    conn: &mut Connection,
    tenant: Option<&TenantId>,
    page: &Page,
) -> Result<Vec<Target>, Error> {
    let (before, id) = page.key();
    let rows = sqlx::query(
        "SELECT id, tenant_id, kind, address, events, salt, secret_check, previous_salt, previous_until, created_at,
                created_by, own_at, last_delivered_at, failing_since, last_error, disabled_at, deleted_at
           FROM notification_target
          WHERE (tenant_id = $1 OR $1 = '') AND deleted_at IS NULL
            AND (created_at < $2 OR (created_at = $2 AND id < $3))
          ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(owner(tenant))
    .bind(before)
    .bind(id)
    .bind(page.size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(target).collect()
}

/// A secret that was the previous one before is dropped.
pub async fn rotate_secret(
    tx: &mut Tx,
    id: &NotificationTargetId,
    salt: &str,
    check: &str,
    previous: Option<&PreviousSecret>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE notification_target
            SET salt = $2, secret_check = $3, previous_salt = $4, previous_until = $5 WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(salt)
    .bind(check)
    .bind(previous.map(|previous| previous.salt.as_str()))
    .bind(previous.map(|previous| previous.until.micros()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// It is listed no more and gets nothing new; the row goes with its last message.
pub async fn delete(tx: &mut Tx, id: &NotificationTargetId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE notification_target SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// All of a tenant that was deleted.
pub async fn delete_of(tx: &mut Tx, tenant: &TenantId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE notification_target SET deleted_at = $2 WHERE tenant_id = $1 AND deleted_at IS NULL")
        .bind(tenant.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Tenants that have targets, in the order of their ids after `after`.
pub async fn tenants(conn: &mut Connection, after: &str, limit: i64) -> Result<Vec<TenantId>, Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT tenant_id FROM notification_target
          WHERE tenant_id > $1 AND deleted_at IS NULL ORDER BY tenant_id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("tenant_id")).collect()
}

pub async fn works(tx: &mut Tx, id: &NotificationTargetId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE notification_target
            SET last_delivered_at = $2, failing_since = NULL, last_error = '', disabled_at = NULL WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn fails(tx: &mut Tx, id: &NotificationTargetId, error: &str, gone: bool) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE notification_target
            SET failing_since = COALESCE(failing_since, $2), last_error = $3, disabled_at = COALESCE(disabled_at, $4)
          WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(now)
    .bind(error)
    .bind(gone.then_some(now))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What was deleted and has no message left.
pub async fn purge(tx: &mut Tx) -> Result<(), Error> {
    sqlx::query(
        "DELETE FROM notification_target
          WHERE deleted_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM notification_delivery d WHERE d.target_id = notification_target.id)",
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn target(row: &AnyRow) -> Result<Target, Error> {
    let tenant: String = row.text("tenant_id")?;
    let (salt, until) = (row.opt_text::<String>("previous_salt")?, row.opt_int::<Instant>("previous_until")?);
    Ok(Target {
        id: row.text("id")?,
        tenant: TenantId::parse(&tenant).ok(),
        kind: row.text("kind")?,
        address: row.text("address")?,
        events: read_list(row, "events")?,
        salt: row.text("salt")?,
        secret_check: row.text("secret_check")?,
        previous: salt.zip(until).map(|(salt, until)| PreviousSecret { salt, until }),
        created_at: row.int("created_at")?,
        created_by: row.text("created_by")?,
        own: row.opt_int::<i64>("own_at")?.is_some(),
        last_delivered_at: row.opt_int::<Instant>("last_delivered_at")?,
        failing_since: row.opt_int("failing_since")?,
        last_error: row.text("last_error")?,
        disabled: row.opt_int::<i64>("disabled_at")?.is_some(),
        deleted: row.opt_int::<i64>("deleted_at")?.is_some(),
    })
}
