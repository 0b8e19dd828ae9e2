//! What the hosts' logs say of the use of keys, and our own log-ins, which stand in them too.

use super::Connection;
use crate::model::{KeyUse, OwnLogin, Receipt};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, RotationId, ServerId, VersionId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// A proof by a log-in. Offers and refusals open nothing: no log calls them accepted.
pub async fn logged_in(
    tx: &mut Tx,
    server: &ServerId,
    version: &VersionId,
    receipt: &Receipt,
) -> Result<(), Error> {
    if receipt.method != "LOGIN" || !receipt.accepted {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO own_login (server_id, version_id, source_port, proven_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (server_id, version_id, source_port, proven_at) DO NOTHING",
    )
    .bind(server.as_str())
    .bind(version.as_str())
    .bind(i64::from(receipt.source_port))
    .bind(receipt.proven_at_micros)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn own_logins(
    conn: &mut Connection,
    server: &ServerId,
    access: &AccessId,
) -> Result<Vec<OwnLogin>, Error> {
    let rows = sqlx::query(
        "SELECT version_id, source_port, proven_at FROM own_login
          WHERE server_id = $1 AND version_id IN (SELECT id FROM key_version WHERE access_id = $2)",
    )
    .bind(server.as_str())
    .bind(access.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(OwnLogin {
                version: row.text("version_id")?,
                source_port: row.int("source_port")?,
                proven_at: row.int("proven_at")?,
            })
        })
        .collect()
}

/// As it was read last. A use that was seen before stays: the log that showed it may be gone.
pub async fn save(tx: &mut Tx, found: &KeyUse) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO key_use (server_id, version_id, access_id, evidence, last_used_at, source_address, read_at, log_since)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (server_id, version_id) DO UPDATE SET
                evidence = CASE WHEN $4 = 'NOT_SEEN' AND key_use.last_used_at IS NOT NULL THEN 'USED' ELSE $4 END,
                source_address = CASE WHEN COALESCE($5, 0) > COALESCE(key_use.last_used_at, 0) THEN $6
                                      ELSE key_use.source_address END,
                last_used_at = CASE WHEN COALESCE($5, 0) > COALESCE(key_use.last_used_at, 0) THEN $5
                                    ELSE key_use.last_used_at END,
                read_at = $7, log_since = $8",
    )
    .bind(found.server.as_str())
    .bind(found.version.as_str())
    .bind(found.access.as_str())
    .bind(found.evidence.as_str())
    .bind(found.last_used_at.map(Instant::micros))
    .bind(&found.source_address)
    .bind(found.read_at.micros())
    .bind(found.log_since.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn of(conn: &mut Connection, access: &AccessId) -> Result<Vec<KeyUse>, Error> {
    let rows = sqlx::query(
        "SELECT server_id, version_id, access_id, evidence, last_used_at, source_address, read_at, log_since
           FROM key_use WHERE access_id = $1 ORDER BY server_id, version_id",
    )
    .bind(access.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(key_use).collect()
}

/// Rotations whose old key ends before `soon` and was not looked for since `span` before its end.
pub async fn due(
    conn: &mut Connection,
    soon: Instant,
    span: i64,
    shortest: i64,
    limit: i64,
) -> Result<Vec<RotationId>, Error> {
    let rows = sqlx::query(
        "SELECT r.id FROM rotation r
          WHERE r.grace_ends_at <= $1 AND r.grace_ended_at IS NULL AND r.next_at IS NOT NULL
            AND r.grace_ends_at - COALESCE(r.promoted_at, r.created_at) >= $3
            AND EXISTS (SELECT 1 FROM key_version v WHERE v.id = r.old_version_id AND v.state = 'GRACE')
            AND NOT EXISTS (SELECT 1 FROM key_use u WHERE u.version_id = r.old_version_id AND u.read_at >= r.grace_ends_at - $2)
          ORDER BY r.grace_ends_at LIMIT $4",
    )
    .bind(soon.micros())
    .bind(span)
    .bind(shortest)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

fn key_use(row: &AnyRow) -> Result<KeyUse, Error> {
    Ok(KeyUse {
        server: row.text("server_id")?,
        version: row.text("version_id")?,
        access: row.text("access_id")?,
        evidence: row.text("evidence")?,
        last_used_at: row.opt_int("last_used_at")?,
        source_address: row.text("source_address")?,
        read_at: row.int("read_at")?,
        log_since: row.opt_int("log_since")?,
    })
}
