//! Revocations and what they did on each host.

use super::{Connection, Moment, list, read_list};
use crate::model::{Revocation, RevocationHost};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, RevocationId, ServerId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;
use std::collections::HashSet;

/// To be driven at once.
pub async fn insert(tx: &mut Tx, revocation: &Revocation, hosts: &[RevocationHost]) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO revocation (id, tenant_id, access_id, state, compromised_at, sessions, comment, requested_at, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
    )
    .bind(revocation.id.as_str())
    .bind(revocation.tenant.as_str())
    .bind(revocation.access.as_str())
    .bind(revocation.state.as_str())
    .bind(revocation.compromised.then_some(revocation.requested_at.micros()))
    .bind(revocation.sessions.as_str())
    .bind(&revocation.comment)
    .bind(revocation.requested_at.micros())
    .execute(tx.conn())
    .await?;
    for (position, host) in (1i64..).zip(hosts) {
        sqlx::query(
            "INSERT INTO revocation_host (revocation_id, server_id, position, server_name, sessions_ended, processes,
                                          crontabs, residual, reason, attempts, not_before)
             VALUES ($1, $2, $3, $4, '', '[]', '[]', '[]', '', 0, 0)",
        )
        .bind(revocation.id.as_str())
        .bind(host.server.as_str())
        .bind(position)
        .bind(&host.server_name)
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

pub async fn update_host(tx: &mut Tx, id: &RevocationId, host: &RevocationHost) -> Result<(), Error> {
    sqlx::query(
        "UPDATE revocation_host SET proven_at = $3, sessions_ended = $4, processes = $5, crontabs = $6, residual = $7,
                reason = $8, attempts = $9, not_before = $10
          WHERE revocation_id = $1 AND server_id = $2",
    )
    .bind(id.as_str())
    .bind(host.server.as_str())
    .bind(host.proven_at.map(Instant::micros))
    .bind(&host.sessions_ended)
    .bind(list(&host.processes))
    .bind(list(&host.crontabs))
    .bind(list(&host.residual))
    .bind(&host.reason)
    .bind(i64::from(host.attempts))
    .bind(host.not_before.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The host answers again: what was waiting for it is tried now.
pub async fn hurry(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE revocation SET next_at = $2
          WHERE state = 'RUNNING' AND next_at > $2
            AND id IN (SELECT revocation_id FROM revocation_host
                        WHERE server_id = $1 AND proven_at IS NULL AND not_before > $2 AND reason = 'HOST_UNREACHABLE')",
    )
    .bind(server.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    sqlx::query(
        "UPDATE revocation_host SET not_before = $2
          WHERE server_id = $1 AND proven_at IS NULL AND not_before > $2 AND reason = 'HOST_UNREACHABLE'",
    )
    .bind(server.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Servers on which a revocation is open that could not reach them the last time.
pub async fn unanswered(conn: &mut Connection) -> Result<HashSet<ServerId>, Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT server_id FROM revocation_host WHERE proven_at IS NULL AND reason = 'HOST_UNREACHABLE'",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("server_id")).collect()
}

/// Looks again then.
pub async fn wait(tx: &mut Tx, id: &RevocationId, until: Instant) -> Result<(), Error> {
    sqlx::query("UPDATE revocation SET next_at = $2 WHERE id = $1 AND state = 'RUNNING'")
        .bind(id.as_str())
        .bind(until.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn finish(tx: &mut Tx, id: &RevocationId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE revocation SET state = 'SUCCEEDED', finished_at = $2, next_at = NULL WHERE id = $1")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn find(conn: &mut Connection, id: &RevocationId) -> Result<Option<Revocation>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, access_id, state, compromised_at, sessions, comment, requested_at, finished_at
           FROM revocation WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(revocation).transpose()
}

pub async fn last(conn: &mut Connection, access: &AccessId) -> Result<Option<Revocation>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, access_id, state, compromised_at, sessions, comment, requested_at, finished_at
           FROM revocation WHERE access_id = $1 ORDER BY requested_at DESC, id DESC LIMIT 1",
    )
    .bind(access.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(revocation).transpose()
}

pub async fn hosts(conn: &mut Connection, id: &RevocationId) -> Result<Vec<RevocationHost>, Error> {
    let rows = sqlx::query(
        "SELECT server_id, server_name, proven_at, sessions_ended, processes, crontabs, residual, reason, attempts,
                not_before
           FROM revocation_host WHERE revocation_id = $1 ORDER BY position",
    )
    .bind(id.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(host).collect()
}

/// Whether a revocation of the access still has to prove the host.
pub async fn is_open_on(conn: &mut Connection, access: &AccessId, server: &ServerId) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT revocation.id FROM revocation JOIN revocation_host ON revocation_host.revocation_id = revocation.id
          WHERE revocation.access_id = $1 AND revocation.state = 'RUNNING' AND revocation_host.server_id = $2
            AND revocation_host.proven_at IS NULL LIMIT 1",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// What is to be driven now and nobody drives; what a clock that has gone back since put off too.
pub async fn due(conn: &mut Connection, moment: Moment, limit: i64) -> Result<Vec<RevocationId>, Error> {
    let rows = sqlx::query(
        "SELECT id FROM revocation
          WHERE (next_at <= $1 OR next_at > $2)
            AND NOT EXISTS (SELECT 1 FROM lease l
                             WHERE l.id = revocation.id AND l.lease_until >= $1 AND l.lease_until <= $3)
          ORDER BY next_at LIMIT $4",
    )
    .bind(moment.now.micros())
    .bind(moment.latest_pause.micros())
    .bind(moment.latest_lease.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

fn revocation(row: &AnyRow) -> Result<Revocation, Error> {
    Ok(Revocation {
        id: row.text("id")?,
        tenant: row.text("tenant_id")?,
        access: row.text("access_id")?,
        state: row.text("state")?,
        compromised: row.opt_int::<i64>("compromised_at")?.is_some(),
        sessions: row.text("sessions")?,
        comment: row.text("comment")?,
        requested_at: row.int("requested_at")?,
        finished_at: row.opt_int("finished_at")?,
    })
}

fn host(row: &AnyRow) -> Result<RevocationHost, Error> {
    Ok(RevocationHost {
        server: row.text("server_id")?,
        server_name: row.text("server_name")?,
        proven_at: row.opt_int("proven_at")?,
        sessions_ended: row.text("sessions_ended")?,
        processes: read_list(row, "processes")?,
        crontabs: read_list(row, "crontabs")?,
        residual: read_list(row, "residual")?,
        reason: row.text("reason")?,
        attempts: row.int("attempts")?,
        not_before: row.int("not_before")?,
    })
}
