//! Changes of servers' states, by the test that found them.

use super::Connection;
use crate::heartbeat::{Found, StateChange};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{ServerId, TestId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, change: &StateChange) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO state_change (test_id, server_id, tenant_id, server_name, changed_at, from_status, from_reason,
                                   to_status, to_reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(change.test.as_str())
    .bind(change.server.as_str())
    .bind(change.tenant.as_str())
    .bind(&change.name)
    .bind(change.at.micros())
    .bind(change.from.status.as_str())
    .bind(&change.from.reason)
    .bind(change.to.status.as_str())
    .bind(&change.to.reason)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// One page and the row after it, newest first.
pub async fn page(conn: &mut Connection, server: &ServerId, page: &Page) -> Result<Vec<StateChange>, Error> {
    let (before, before_id) = page.key();
    let rows = sqlx::query(
        "SELECT test_id, server_id, tenant_id, server_name, changed_at, from_status, from_reason, to_status, to_reason
           FROM state_change
          WHERE server_id = $1 AND (changed_at < $2 OR (changed_at = $2 AND test_id < $3))
          ORDER BY changed_at DESC, test_id DESC LIMIT $4",
    )
    .bind(server.as_str())
    .bind(before)
    .bind(before_id)
    .bind(page.size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// Oldest first.
pub async fn untold(conn: &mut Connection, limit: i64) -> Result<Vec<StateChange>, Error> {
    let rows = sqlx::query(
        "SELECT test_id, server_id, tenant_id, server_name, changed_at, from_status, from_reason, to_status, to_reason
           FROM state_change WHERE told_at IS NULL ORDER BY changed_at, test_id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

pub async fn mark_told(tx: &mut Tx, test: &TestId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE state_change SET told_at = $2 WHERE test_id = $1")
        .bind(test.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What was told and is older.
pub async fn purge(tx: &mut Tx, since: Instant) -> Result<(), Error> {
    sqlx::query("DELETE FROM state_change WHERE changed_at < $1 AND told_at IS NOT NULL")
        .bind(since.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<StateChange, Error> {
    let found = |status: &str, reason: &str| {
        Ok::<Found, Error>(Found {
            status: row.text(status)?,
            failed_check: String::new(),
            reason: row.text(reason)?,
        })
    };
    Ok(StateChange {
        test: row.text("test_id")?,
        server: row.text("server_id")?,
        tenant: row.text("tenant_id")?,
        name: row.text("server_name")?,
        at: row.int("changed_at")?,
        from: found("from_status", "from_reason")?,
        to: found("to_status", "to_reason")?,
    })
}
