//! What the schedule asks: keys by their age, graces by their end, and how often it has tried.

use super::Connection;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, RotationId, TenantId, VersionId};
use keywright_storage::{Columns, Error, Tx};

/// Accesses whose key was downloaded as often as it may be, can be fetched by nobody any more, and is to be forgotten
/// then by its policy.
pub async fn downloaded(
    conn: &mut Connection,
    now: Instant,
    limit: i64,
) -> Result<Vec<(AccessId, TenantId)>, Error> {
    let rows = sqlx::query(
        "SELECT v.access_id, a.tenant_id
           FROM key_version v JOIN access a ON a.id = v.access_id
           LEFT JOIN policy p0 ON p0.subject = ''
           LEFT JOIN policy p1 ON p1.subject = a.tenant_id
           LEFT JOIN policy p2 ON p2.subject = a.id
          WHERE v.state = 'ACTIVE' AND v.destroy_at IS NULL AND v.client_key IS NULL
            AND a.revoked_at IS NULL AND a.closed_at IS NULL
            AND COALESCE(p2.forget_after_download, p1.forget_after_download, p0.forget_after_download, 0) = 1
            AND (SELECT COUNT(*) FROM download_claim c WHERE c.version_id = v.id)
                >= COALESCE(p2.downloads_per_version, p1.downloads_per_version, p0.downloads_per_version, 1)
            AND EXISTS (SELECT c.id FROM download_claim c WHERE c.version_id = v.id)
            AND NOT EXISTS (SELECT c.id FROM download_claim c
                             WHERE c.version_id = v.id AND c.acknowledged_at IS NULL AND c.expires_at > $1)
          ORDER BY v.id LIMIT $2",
    )
    .bind(now.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.text("access_id")?, row.text("tenant_id")?))).collect()
}

/// A key in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    pub access: AccessId,
    pub tenant: TenantId,
    pub version: VersionId,
    pub promoted_at: Instant,
    pub client_made: bool,
}

/// Where a page begins.
#[derive(Debug, Clone, Default)]
pub struct After {
    promoted_at: i64,
    version: String,
}

impl After {
    pub fn key(key: &InUse) -> Self {
        Self { promoted_at: key.promoted_at.micros(), version: key.version.to_string() }
    }
}

/// Of accesses that are not revoked, promoted before `older`; the oldest first.
pub async fn in_use(
    conn: &mut Connection,
    older: Instant,
    after: &After,
    limit: i64,
) -> Result<Vec<InUse>, Error> {
    let rows = sqlx::query(
        "SELECT v.id, v.access_id, v.promoted_at, v.client_key, a.tenant_id
           FROM key_version v JOIN access a ON a.id = v.access_id
          WHERE v.state = 'ACTIVE' AND v.promoted_at <= $1 AND a.revoked_at IS NULL AND a.closed_at IS NULL
            AND (v.promoted_at > $2 OR (v.promoted_at = $2 AND v.id > $3))
          ORDER BY v.promoted_at, v.id LIMIT $4",
    )
    .bind(older.micros())
    .bind(after.promoted_at)
    .bind(&after.version)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    let keys = rows.iter().map(|row| {
        Ok(InUse {
            access: row.text("access_id")?,
            tenant: row.text("tenant_id")?,
            version: row.text("id")?,
            promoted_at: row.int("promoted_at")?,
            client_made: row.opt_text::<String>("client_key")?.is_some(),
        })
    });
    keys.collect()
}

/// Automatic rotations that have not promoted their key.
pub async fn running(conn: &mut Connection) -> Result<Vec<(TenantId, AccessId)>, Error> {
    let rows = sqlx::query(
        "SELECT tenant_id, access_id FROM rotation WHERE state = 'RUNNING' AND automatic_at IS NOT NULL",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.text("tenant_id")?, row.text("access_id")?))).collect()
}

/// Rotations whose grace ends after `now`, at `until` at the latest.
pub async fn ending(conn: &mut Connection, now: Instant, until: Instant) -> Result<Vec<RotationId>, Error> {
    let rows = sqlx::query(
        "SELECT id FROM rotation
          WHERE grace_ends_at > $1 AND grace_ends_at <= $2 AND grace_ended_at IS NULL AND next_at IS NOT NULL
          ORDER BY grace_ends_at, id",
    )
    .bind(now.micros())
    .bind(until.micros())
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// How often it was tried to replace the version, and when it may be tried again.
pub async fn tries(conn: &mut Connection, version: &VersionId) -> Result<(i64, Instant), Error> {
    let row = sqlx::query("SELECT tries, not_before FROM automatic_try WHERE version_id = $1")
        .bind(version.as_str())
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok((row.int("tries")?, row.int("not_before")?)),
        None => Ok((0, Instant::from_micros(0))),
    }
}

/// The tries of the access's earlier versions are of no use any more.
pub async fn set_tries(tx: &mut Tx, key: &InUse, tries: i64, not_before: Instant) -> Result<(), Error> {
    sqlx::query("DELETE FROM automatic_try WHERE access_id = $1 AND version_id <> $2")
        .bind(key.access.as_str())
        .bind(key.version.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "INSERT INTO automatic_try (version_id, access_id, tries, not_before) VALUES ($1, $2, $3, $4)
         ON CONFLICT (version_id) DO UPDATE SET tries = $3, not_before = $4",
    )
    .bind(key.version.as_str())
    .bind(key.access.as_str())
    .bind(tries)
    .bind(not_before.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}
