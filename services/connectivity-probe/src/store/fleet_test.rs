//! Tests of many servers.

use super::Connection;
use crate::fleet::latency::Latency;
use crate::fleet::{FleetTest, Origin, Plan, State};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{FleetTestId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error, Tx};
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, test: &FleetTest) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO fleet_test (id, tenant_id, state, selector, max_parallel, max_per_host, max_per_network, comment,
                                 created_by, created_at, latencies, origin)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '[]', $11)",
    )
    .bind(test.id.as_str())
    .bind(test.tenant.as_ref().map(TenantId::as_str))
    .bind(test.state.as_str())
    .bind(serde_json::to_string(&test.selector).map_err(|_| corrupt("selector"))?)
    .bind(i64::from(test.plan.max_parallel))
    .bind(i64::from(test.plan.max_per_host))
    .bind(i64::from(test.plan.max_per_network))
    .bind(&test.comment)
    .bind(&test.created_by)
    .bind(test.created_at.micros())
    .bind(test.origin.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn find(conn: &mut Connection, id: &FleetTestId) -> Result<Option<FleetTest>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, state, selector, max_parallel, max_per_host, max_per_network, comment, created_by,
                created_at, finished_at, latencies, origin
           FROM fleet_test WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read).transpose()
}

/// One page and the row after it, newest first; of this tenant, or all.
pub async fn page(
    conn: &mut Connection,
    tenant: Option<&TenantId>,
    page: &Page,
) -> Result<Vec<FleetTest>, Error> {
    let (before, before_id) = page.key();
    let rows = sqlx::query(
        "SELECT id, tenant_id, state, selector, max_parallel, max_per_host, max_per_network, comment, created_by,
                created_at, finished_at, latencies, origin
           FROM fleet_test
          WHERE origin = 'REQUEST' AND ($1 = '' OR tenant_id = $1) AND (created_at < $2 OR (created_at = $2 AND id < $3))
          ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(tenant.map_or("", TenantId::as_str))
    .bind(before)
    .bind(before_id)
    .bind(page.size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// Those that run, oldest first, rounds of heartbeats last; of the lately cancelled, those of which a target still runs.
pub async fn open(conn: &mut Connection, cancelled_since: Instant) -> Result<Vec<FleetTest>, Error> {
    let rows = sqlx::query(
        "SELECT id, tenant_id, state, selector, max_parallel, max_per_host, max_per_network, comment, created_by,
                created_at, finished_at, latencies, origin
           FROM fleet_test
          WHERE state = 'RUNNING'
             OR (state = 'CANCELLED' AND finished_at > $1
                 AND EXISTS (SELECT 1 FROM fleet_target t
                              WHERE t.fleet_test_id = fleet_test.id AND t.state = 'RUNNING'))
          ORDER BY CASE origin WHEN 'REQUEST' THEN 0 ELSE 1 END, created_at, id LIMIT 100",
    )
    .bind(cancelled_since.micros())
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// How many run of this tenant, or of those of all tenants.
pub async fn running_of(conn: &mut Connection, tenant: Option<&TenantId>) -> Result<i64, Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS number FROM fleet_test
          WHERE state = 'RUNNING' AND origin = 'REQUEST' AND COALESCE(tenant_id, '') = $1",
    )
    .bind(tenant.map_or("", TenantId::as_str))
    .fetch_one(conn)
    .await?;
    row.int("number")
}

/// How many rounds of heartbeats run.
pub async fn rounds(conn: &mut Connection) -> Result<i64, Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS number FROM fleet_test WHERE state = 'RUNNING' AND origin = 'HEARTBEAT'",
    )
    .fetch_one(conn)
    .await?;
    row.int("number")
}

/// With its targets.
pub async fn delete(tx: &mut Tx, id: &FleetTestId) -> Result<(), Error> {
    sqlx::query("DELETE FROM fleet_target WHERE fleet_test_id = $1")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM fleet_test WHERE id = $1").bind(id.as_str()).execute(tx.conn()).await?;
    Ok(())
}

/// One that ended before.
pub async fn ended_before(conn: &mut Connection, time: Instant) -> Result<Option<FleetTestId>, Error> {
    let row = sqlx::query(
        "SELECT id FROM fleet_test WHERE state <> 'RUNNING' AND finished_at < $1 ORDER BY created_at LIMIT 1",
    )
    .bind(time.micros())
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.text("id")).transpose()
}

/// False where it has ended before.
pub async fn end(tx: &mut Tx, id: &FleetTestId, state: State) -> Result<bool, Error> {
    let now = tx.now().micros();
    let done =
        sqlx::query("UPDATE fleet_test SET state = $2, finished_at = $3 WHERE id = $1 AND state = 'RUNNING'")
            .bind(id.as_str())
            .bind(state.as_str())
            .bind(now)
            .execute(tx.conn())
            .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn set_latencies(tx: &mut Tx, id: &FleetTestId, latencies: &[Latency]) -> Result<(), Error> {
    sqlx::query("UPDATE fleet_test SET latencies = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(serde_json::to_string(latencies).map_err(|_| corrupt("latencies"))?)
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<FleetTest, Error> {
    Ok(FleetTest {
        id: row.text("id")?,
        tenant: row.opt_text("tenant_id")?,
        origin: row.text::<Origin>("origin")?,
        state: row.text("state")?,
        selector: json(row, "selector")?,
        plan: Plan {
            max_parallel: row.int("max_parallel")?,
            max_per_host: row.int("max_per_host")?,
            max_per_network: row.int("max_per_network")?,
        },
        comment: row.text("comment")?,
        created_by: row.text("created_by")?,
        created_at: row.int("created_at")?,
        finished_at: row.opt_int("finished_at")?,
        latencies: json(row, "latencies")?,
    })
}

fn json<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, Error> {
    serde_json::from_str(&row.text::<String>(column)?).map_err(|_| corrupt(column))
}

fn corrupt(column: &str) -> Error {
    Error::Corrupt(column.to_owned())
}
