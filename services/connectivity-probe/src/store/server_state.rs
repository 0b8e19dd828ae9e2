//! How servers are, and their heartbeats.

use super::Connection;
use crate::heartbeat::{Found, Heartbeat, Last, ServerState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{ServerId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;
use std::time::Duration;

/// For a transaction that changes it: nobody else does before its end.
pub async fn lock(tx: &mut Tx, server: &ServerId) -> Result<Option<ServerState>, Error> {
    sqlx::query("UPDATE server_state SET status = status WHERE server_id = $1")
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    find(tx.conn(), server).await
}

pub async fn find(conn: &mut Connection, server: &ServerId) -> Result<Option<ServerState>, Error> {
    let row = sqlx::query(
        "SELECT server_id, tenant_id, server_name, host, port, interval_micros, heartbeat_at, next_at, status,
                failed_check, reason, skipped_reason, since, checked_at, test_id, kept_at
           FROM server_state WHERE server_id = $1",
    )
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read).transpose()
}

pub async fn put(tx: &mut Tx, state: &ServerState) -> Result<(), Error> {
    let heartbeat = state.heartbeat.as_ref();
    let last = state.last.as_ref();
    let found = last.map(|last| &last.found);
    sqlx::query(
        "INSERT INTO server_state (server_id, tenant_id, server_name, host, port, interval_micros, heartbeat_at, next_at,
                                   status, failed_check, reason, skipped_reason, since, checked_at, test_id, kept_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT (server_id) DO UPDATE
            SET server_name = $3, host = $4, port = $5, interval_micros = $6, heartbeat_at = $7, next_at = $8, status = $9,
                failed_check = $10, reason = $11, skipped_reason = $12, since = $13, checked_at = $14, test_id = $15,
                kept_at = $16",
    )
    .bind(state.server.as_str())
    .bind(state.tenant.as_str())
    .bind(&state.name)
    .bind(&state.host)
    .bind(i64::from(state.port))
    .bind(heartbeat.map(|heartbeat| micros(heartbeat.interval)))
    .bind(heartbeat.map(|heartbeat| heartbeat.set_at.micros()))
    .bind(heartbeat.map(|heartbeat| heartbeat.next_at.micros()))
    .bind(found.map_or("", |found| found.status.as_str()))
    .bind(found.map_or("", |found| found.failed_check.as_str()))
    .bind(found.map_or("", |found| found.reason.as_str()))
    .bind(&state.skipped)
    .bind(last.map(|last| last.since.micros()))
    .bind(last.map(|last| last.checked_at.micros()))
    .bind(last.map(|last| last.kept.as_str()))
    .bind(last.map(|last| last.kept_at.micros()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Those whose heartbeat is due, or waits for a time that only a clock gone wrong can have set, and that no round has.
pub async fn due(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<ServerState>, Error> {
    let rows = sqlx::query(
        "SELECT server_id, tenant_id, server_name, host, port, interval_micros, heartbeat_at, next_at, status,
                failed_check, reason, skipped_reason, since, checked_at, test_id, kept_at
           FROM server_state s
          WHERE next_at IS NOT NULL AND (next_at <= $1 OR next_at > $1 + 2 * interval_micros)
            AND NOT EXISTS (SELECT 1 FROM fleet_target t JOIN fleet_test f ON f.id = t.fleet_test_id
                             WHERE t.server_id = s.server_id AND t.state IN ('PENDING', 'RUNNING')
                               AND f.origin = 'HEARTBEAT' AND f.state = 'RUNNING')
          ORDER BY next_at, server_id LIMIT $2",
    )
    .bind(now.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

pub async fn set_next(tx: &mut Tx, server: &ServerId, next: Instant) -> Result<(), Error> {
    sqlx::query("UPDATE server_state SET next_at = $2 WHERE server_id = $1 AND next_at IS NOT NULL")
        .bind(server.as_str())
        .bind(next.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Why its heartbeat could not test it.
pub async fn skip(tx: &mut Tx, server: &ServerId, reason: &str) -> Result<(), Error> {
    sqlx::query("UPDATE server_state SET skipped_reason = $2 WHERE server_id = $1")
        .bind(server.as_str())
        .bind(reason)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn stop(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server_state SET interval_micros = NULL, heartbeat_at = NULL, next_at = NULL, skipped_reason = ''
          WHERE server_id = $1",
    )
    .bind(server.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// One page and the row after it of those with a heartbeat, the last that got one first; narrowed by what is not empty.
pub async fn page(
    conn: &mut Connection,
    tenant: Option<&TenantId>,
    status: &str,
    page: &Page,
) -> Result<Vec<ServerState>, Error> {
    let (before, before_id) = page.key();
    let rows = sqlx::query(
        "SELECT server_id, tenant_id, server_name, host, port, interval_micros, heartbeat_at, next_at, status,
                failed_check, reason, skipped_reason, since, checked_at, test_id, kept_at
           FROM server_state
          WHERE heartbeat_at IS NOT NULL AND ($1 = '' OR tenant_id = $1) AND ($2 = '' OR status = $2)
            AND (heartbeat_at < $3 OR (heartbeat_at = $3 AND server_id < $4))
          ORDER BY heartbeat_at DESC, server_id DESC LIMIT $5",
    )
    .bind(tenant.map_or("", TenantId::as_str))
    .bind(status)
    .bind(before)
    .bind(before_id)
    .bind(page.size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

pub async fn forget(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    sqlx::query("DELETE FROM server_state WHERE server_id = $1")
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn read(row: &AnyRow) -> Result<ServerState, Error> {
    Ok(ServerState {
        server: row.text("server_id")?,
        tenant: row.text("tenant_id")?,
        name: row.text("server_name")?,
        host: row.text("host")?,
        port: row.int("port")?,
        heartbeat: heartbeat(row)?,
        last: last(row)?,
        skipped: row.text("skipped_reason")?,
    })
}

fn heartbeat(row: &AnyRow) -> Result<Option<Heartbeat>, Error> {
    let Some(interval) = row.opt_int("interval_micros")? else { return Ok(None) };
    let (set_at, next_at) = (row.int("heartbeat_at")?, row.int("next_at")?);
    Ok(Some(Heartbeat { interval: Duration::from_micros(interval), set_at, next_at }))
}

fn last(row: &AnyRow) -> Result<Option<Last>, Error> {
    let Some(since) = row.opt_int("since")? else { return Ok(None) };
    Ok(Some(Last {
        found: Found {
            status: row.text("status")?,
            failed_check: row.text("failed_check")?,
            reason: row.text("reason")?,
        },
        since,
        checked_at: row.int("checked_at")?,
        kept: row.text("test_id")?,
        kept_at: row.int("kept_at")?,
    }))
}
