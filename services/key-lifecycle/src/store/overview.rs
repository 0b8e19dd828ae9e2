//! What campaigns and operators see of many accesses at once, and the keys that are exposed. Reads only.

use super::Connection;
use crate::model::{Effective, Exposed, ExposureKind, Facts, Level, OwnSettings};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error};
use sqlx::any::AnyRow;
use std::collections::HashMap;
use std::time::Duration;

/// How accesses stand that are not given up, in the order of their ids after `after`; what their policies say comes
/// along, level by level.
pub async fn facts(conn: &mut Connection, after: &str, size: i64) -> Result<Vec<Facts>, Error> {
    let rows = sqlx::query(
        "SELECT a.id, a.tenant_id, a.account, a.revoked_at,
                (SELECT MAX(v.promoted_at) FROM key_version v WHERE v.access_id = a.id AND v.state = 'ACTIVE')
                    AS active_since,
                (SELECT COUNT(*) FROM key_version v
                  WHERE v.access_id = a.id AND v.state = 'ACTIVE' AND v.client_key IS NOT NULL) AS client_made,
                (SELECT MAX(v.promoted_at) FROM key_version v WHERE v.access_id = a.id) AS last_rotated_at,
                (SELECT COUNT(*) FROM rotation r WHERE r.access_id = a.id AND r.state = 'RUNNING') AS running,
                (SELECT MAX(r.grace_ends_at) FROM rotation r JOIN key_version v ON v.id = r.old_version_id
                  WHERE r.access_id = a.id AND v.state = 'GRACE') AS grace_ends_at,
                p0.maximum_age_secs AS age_0, p0.client_made_required AS client_0,
                p1.maximum_age_secs AS age_1, p1.client_made_required AS client_1,
                p2.maximum_age_secs AS age_2, p2.client_made_required AS client_2
           FROM access a
           LEFT JOIN policy p0 ON p0.subject = ''
           LEFT JOIN policy p1 ON p1.subject = a.tenant_id
           LEFT JOIN policy p2 ON p2.subject = a.id
          WHERE a.closed_at IS NULL AND a.deprovision_at IS NULL AND a.id > $1
          ORDER BY a.id LIMIT $2",
    )
    .bind(after)
    .bind(size)
    .fetch_all(conn)
    .await?;
    rows.iter().map(facts_of).collect()
}

/// The same of one tenant.
pub async fn facts_of_tenant(
    conn: &mut Connection,
    tenant: &TenantId,
    after: &str,
    size: i64,
) -> Result<Vec<Facts>, Error> {
    let rows = sqlx::query(
        "SELECT a.id, a.tenant_id, a.account, a.revoked_at,
                (SELECT MAX(v.promoted_at) FROM key_version v WHERE v.access_id = a.id AND v.state = 'ACTIVE')
                    AS active_since,
                (SELECT COUNT(*) FROM key_version v
                  WHERE v.access_id = a.id AND v.state = 'ACTIVE' AND v.client_key IS NOT NULL) AS client_made,
                (SELECT MAX(v.promoted_at) FROM key_version v WHERE v.access_id = a.id) AS last_rotated_at,
                (SELECT COUNT(*) FROM rotation r WHERE r.access_id = a.id AND r.state = 'RUNNING') AS running,
                (SELECT MAX(r.grace_ends_at) FROM rotation r JOIN key_version v ON v.id = r.old_version_id
                  WHERE r.access_id = a.id AND v.state = 'GRACE') AS grace_ends_at,
                p0.maximum_age_secs AS age_0, p0.client_made_required AS client_0,
                p1.maximum_age_secs AS age_1, p1.client_made_required AS client_1,
                p2.maximum_age_secs AS age_2, p2.client_made_required AS client_2
           FROM access a
           LEFT JOIN policy p0 ON p0.subject = ''
           LEFT JOIN policy p1 ON p1.subject = a.tenant_id
           LEFT JOIN policy p2 ON p2.subject = a.id
          WHERE a.closed_at IS NULL AND a.deprovision_at IS NULL AND a.tenant_id = $1 AND a.id > $3
          ORDER BY a.id LIMIT $2",
    )
    .bind(tenant.as_str())
    .bind(size)
    .bind(after)
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
           FROM (SELECT CASE WHEN EXISTS (SELECT w.id FROM revocation w
                                           WHERE w.access_id = v.access_id AND w.compromised_at IS NOT NULL
                                             AND w.requested_at >= v.requested_at)
                             THEN 'COMPROMISED' ELSE 'REVOKED' END AS kind,
                        v.tenant_id, v.access_id, a.account, h.server_id, h.server_name, v.id AS work_id,
                        v.requested_at AS since, h.reason, h.attempts, v.id || '.' || h.server_id AS place
                   FROM revocation_host h
                  CROSS JOIN revocation v
                   JOIN access a ON a.id = v.access_id
                  WHERE v.id = h.revocation_id AND h.proven_at IS NULL
                    AND NOT EXISTS (SELECT o.server_id FROM revocation w CROSS JOIN revocation_host o
                                     WHERE w.access_id = v.access_id AND o.revocation_id = w.id
                                       AND o.server_id = h.server_id AND o.proven_at IS NULL
                                       AND (w.requested_at < v.requested_at
                                            OR (w.requested_at = v.requested_at AND w.id < v.id)))
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

/// How many keys are exposed on how many hosts, as pairs, for each tenant that has any.
pub async fn exposed_by_tenant(conn: &mut Connection, now: Instant) -> Result<HashMap<TenantId, u32>, Error> {
    let rows = sqlx::query(
        "SELECT tenant_id, COUNT(*) AS exposed
           FROM (SELECT v.tenant_id FROM revocation_host h CROSS JOIN revocation v
                  WHERE v.id = h.revocation_id AND h.proven_at IS NULL
                  GROUP BY v.tenant_id, v.access_id, h.server_id
                  UNION ALL
                 SELECT r.tenant_id FROM rotation r
                   JOIN rotation_step s ON s.rotation_id = r.id AND s.name = 'prove_refused' AND s.state <> 'DONE'
                  WHERE r.grace_ends_at <= $1 AND r.grace_ended_at IS NULL AND r.next_at IS NOT NULL
                    AND r.state <> 'SUPERSEDED') AS exposed
          GROUP BY tenant_id",
    )
    .bind(now.micros())
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.text("tenant_id")?, row.int("exposed")?))).collect()
}

/// Of all tenants by kind, and since when the longest.
pub async fn exposed_by_kind(
    conn: &mut Connection,
    now: Instant,
) -> Result<Vec<(ExposureKind, u64, Instant)>, Error> {
    let rows = sqlx::query(
        "SELECT kind, COUNT(*) AS exposed, MIN(since) AS first
           FROM (SELECT CASE WHEN EXISTS (SELECT w.id FROM revocation w
                                           WHERE w.access_id = o.access_id AND w.compromised_at IS NOT NULL
                                             AND w.requested_at >= o.since)
                             THEN 'COMPROMISED' ELSE 'REVOKED' END AS kind, o.since
                   FROM (SELECT v.access_id, MIN(v.requested_at) AS since
                           FROM revocation_host h CROSS JOIN revocation v
                          WHERE v.id = h.revocation_id AND h.proven_at IS NULL
                          GROUP BY v.access_id, h.server_id) AS o
                  UNION ALL
                 SELECT 'GRACE_ENDED' AS kind, r.grace_ends_at AS since FROM rotation r
                   JOIN rotation_step s ON s.rotation_id = r.id AND s.name = 'prove_refused' AND s.state <> 'DONE'
                  WHERE r.grace_ends_at <= $1 AND r.grace_ended_at IS NULL AND r.next_at IS NOT NULL
                    AND r.state <> 'SUPERSEDED') AS exposed
          GROUP BY kind",
    )
    .bind(now.micros())
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.text("kind")?, row.int("exposed")?, row.int("first")?))).collect()
}

/// How many rotations ended how.
pub async fn outcomes(conn: &mut Connection) -> Result<Vec<(String, u64)>, Error> {
    let rows = sqlx::query("SELECT state, COUNT(*) AS rotations FROM rotation GROUP BY state ORDER BY state")
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Ok((row.text("state")?, row.int("rotations")?))).collect()
}

fn facts_of(row: &AnyRow) -> Result<Facts, Error> {
    let mut policy = Effective::default();
    let levels = [
        (Level::Platform, "age_0", "client_0"),
        (Level::Tenant, "age_1", "client_1"),
        (Level::Access, "age_2", "client_2"),
    ];
    for (level, age, client) in levels {
        let own = OwnSettings {
            maximum_age: row.opt_int::<u64>(age)?.map(Duration::from_secs),
            client_made_required: row.opt_int::<i64>(client)?.map(|said| said != 0),
            ..OwnSettings::default()
        };
        policy.apply(level, &own);
    }
    Ok(Facts {
        access: row.text("id")?,
        tenant: row.text("tenant_id")?,
        account: row.text("account")?,
        revoked: row.opt_int::<i64>("revoked_at")?.is_some(),
        active_since: row.opt_int("active_since")?,
        maximum_age: policy.settings.maximum_age,
        client_made: policy.settings.client_made_required || row.int::<i64>("client_made")? > 0,
        last_rotated_at: row.opt_int("last_rotated_at")?,
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
