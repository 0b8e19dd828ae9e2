//! What campaigns and operators see of many accesses at once, and the keys that are exposed. Reads only.

use super::Connection;
use crate::model::{Exposed, Facts};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error};
use sqlx::any::AnyRow;

/// Accesses that are not given up, of one tenant or (empty text) of all, in the order of their ids after `after`.
pub async fn facts(conn: &mut Connection, tenant: &str, after: &str, size: i64) -> Result<Vec<Facts>, Error> {
    let rows = sqlx::query(
        "SELECT a.id, a.tenant_id, a.account, a.revoked_at,
                (SELECT MAX(v.promoted_at) FROM key_version v WHERE v.access_id = a.id AND v.state = 'ACTIVE')
                    AS active_since,
                (SELECT COUNT(*) FROM key_version v
                  WHERE v.access_id = a.id AND v.state = 'ACTIVE' AND v.client_key IS NOT NULL) AS client_made,
                (SELECT MAX(v.promoted_at) FROM key_version v WHERE v.access_id = a.id) AS last_rotated_at,
                (SELECT COUNT(*) FROM rotation r WHERE r.access_id = a.id AND r.state IN ('RUNNING', 'CONVERGING'))
                    AS running,
                (SELECT MAX(r.grace_ends_at) FROM rotation r JOIN key_version v ON v.id = r.old_version_id
                  WHERE r.access_id = a.id AND v.state = 'GRACE') AS grace_ends_at
           FROM access a
          WHERE a.closed_at IS NULL AND a.deprovision_at IS NULL AND ($1 = '' OR a.tenant_id = $1) AND a.id > $2
          ORDER BY a.id LIMIT $3",
    )
    .bind(tenant)
    .bind(after)
    .bind(size)
    .fetch_all(conn)
    .await?;
    rows.iter().map(facts_of).collect()
}

/// The servers of the accesses from `first` to `last`, with their names, in the order of the accesses.
pub async fn hosts(
    conn: &mut Connection,
    first: &AccessId,
    last: &AccessId,
) -> Result<Vec<(AccessId, ServerId, String)>, Error> {
    let rows = sqlx::query(
        "SELECT access_id, server_id, server_name FROM access_host
          WHERE access_id >= $1 AND access_id <= $2 AND left_at IS NULL ORDER BY access_id, position",
    )
    .bind(first.as_str())
    .bind(last.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| Ok((row.text("access_id")?, row.text("server_id")?, row.text("server_name")?)))
        .collect()
}

/// The longest exposed first, one row more than the page holds; `tenant` empty for all.
pub async fn exposures(
    conn: &mut Connection,
    tenant: &str,
    now: Instant,
    page: &Page,
) -> Result<Vec<Exposed>, Error> {
    let (after, after_key) =
        page.before.as_ref().map_or((i64::MIN, ""), |(at, key)| (at.micros(), key.as_str()));
    let rows = sqlx::query(
        "SELECT kind, tenant_id, access_id, account, server_id, server_name, work_id, since, reason, attempts, place
           FROM (SELECT CASE WHEN v.compromised_at IS NULL THEN 'REVOKED' ELSE 'COMPROMISED' END AS kind,
                        v.tenant_id, v.access_id, a.account, h.server_id, h.server_name, v.id AS work_id,
                        v.requested_at AS since, h.reason, h.attempts, v.id || '.' || h.server_id AS place
                   FROM revocation_host h
                   JOIN revocation v ON v.id = h.revocation_id
                   JOIN access a ON a.id = v.access_id
                  WHERE h.proven_at IS NULL
                  UNION ALL
                 SELECT 'GRACE_ENDED' AS kind, r.tenant_id, r.access_id, a.account, s.server_id,
                        COALESCE((SELECT h.server_name FROM access_host h
                                   WHERE h.access_id = r.access_id AND h.server_id = s.server_id), '') AS server_name,
                        r.id AS work_id, r.grace_ends_at AS since,
                        COALESCE((SELECT MAX(e.reason) FROM rotation_step e
                                   WHERE e.rotation_id = r.id AND e.server_id = s.server_id
                                     AND e.name IN ('remove_old', 'prove_refused')), '') AS reason,
                        COALESCE((SELECT MAX(e.attempts) FROM rotation_step e
                                   WHERE e.rotation_id = r.id AND e.server_id = s.server_id
                                     AND e.name IN ('remove_old', 'prove_refused')), 0) AS attempts,
                        r.id || '.' || s.server_id AS place
                   FROM rotation r
                   JOIN rotation_step s ON s.rotation_id = r.id AND s.name = 'prove_refused' AND s.state <> 'DONE'
                   JOIN access a ON a.id = r.access_id
                  WHERE r.grace_ends_at <= $2 AND r.grace_ended_at IS NULL AND r.next_at IS NOT NULL
                    AND r.state <> 'SUPERSEDED') AS exposed
          WHERE ($1 = '' OR tenant_id = $1) AND (since > $3 OR (since = $3 AND place > $4))
          ORDER BY since, place LIMIT $5",
    )
    .bind(tenant)
    .bind(now.micros())
    .bind(after)
    .bind(after_key)
    .bind(page.size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(exposed).collect()
}

/// How many keys of the tenant are exposed on how many hosts, as pairs.
pub async fn exposed_count(conn: &mut Connection, tenant: &TenantId, now: Instant) -> Result<u32, Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM revocation_host h JOIN revocation v ON v.id = h.revocation_id
                  WHERE v.tenant_id = $1 AND h.proven_at IS NULL)
              + (SELECT COUNT(*) FROM rotation r
                   JOIN rotation_step s ON s.rotation_id = r.id AND s.name = 'prove_refused' AND s.state <> 'DONE'
                  WHERE r.tenant_id = $1 AND r.grace_ends_at <= $2 AND r.grace_ended_at IS NULL
                    AND r.next_at IS NOT NULL AND r.state <> 'SUPERSEDED') AS exposed",
    )
    .bind(tenant.as_str())
    .bind(now.micros())
    .fetch_one(conn)
    .await?;
    row.int("exposed")
}

/// Of all tenants, and since when the longest.
pub async fn exposed_in_all(conn: &mut Connection, now: Instant) -> Result<(u64, Option<Instant>), Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS exposed, MIN(since) AS first
           FROM (SELECT v.requested_at AS since FROM revocation_host h JOIN revocation v ON v.id = h.revocation_id
                  WHERE h.proven_at IS NULL
                  UNION ALL
                 SELECT r.grace_ends_at AS since FROM rotation r
                   JOIN rotation_step s ON s.rotation_id = r.id AND s.name = 'prove_refused' AND s.state <> 'DONE'
                  WHERE r.grace_ends_at <= $1 AND r.grace_ended_at IS NULL AND r.next_at IS NOT NULL
                    AND r.state <> 'SUPERSEDED') AS exposed",
    )
    .bind(now.micros())
    .fetch_one(conn)
    .await?;
    Ok((row.int("exposed")?, row.opt_int("first")?))
}

/// How many rotations ended how.
pub async fn outcomes(conn: &mut Connection) -> Result<Vec<(String, u64)>, Error> {
    let rows = sqlx::query("SELECT state, COUNT(*) AS rotations FROM rotation GROUP BY state ORDER BY state")
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Ok((row.text("state")?, row.int("rotations")?))).collect()
}

fn facts_of(row: &AnyRow) -> Result<Facts, Error> {
    Ok(Facts {
        access: row.text("id")?,
        tenant: row.text("tenant_id")?,
        account: row.text("account")?,
        revoked: row.opt_int::<i64>("revoked_at")?.is_some(),
        active_since: row.opt_int("active_since")?,
        last_rotated_at: row.opt_int("last_rotated_at")?,
        client_made: row.int::<i64>("client_made")? > 0,
        rotating: row.int::<i64>("running")? > 0,
        grace_ends_at: row.opt_int("grace_ends_at")?,
    })
}

fn exposed(row: &AnyRow) -> Result<Exposed, Error> {
    Ok(Exposed {
        kind: row.text("kind")?,
        tenant: row.text("tenant_id")?,
        access: row.text("access_id")?,
        account: row.text("account")?,
        server: row.text("server_id")?,
        server_name: row.text("server_name")?,
        work: row.text("work_id")?,
        since: row.int("since")?,
        reason: row.text("reason")?,
        attempts: row.int("attempts")?,
    })
}
