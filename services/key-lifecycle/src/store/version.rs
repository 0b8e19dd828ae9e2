//! The versions of an access's key.

use super::{Connection, read_key};
use crate::model::{Version, VersionState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, VersionId};
use keywright_domain::key::PublicKey;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// A new version, before its key exists: its id is durable before anybody is asked to generate it.
pub async fn insert(tx: &mut Tx, access: &AccessId, id: &VersionId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO key_version (id, access_id, number, state, created_at)
         SELECT $1, $2, COALESCE(MAX(number), 0) + 1, 'STAGED', CAST($3 AS BIGINT) FROM key_version WHERE access_id = $2",
    )
    .bind(id.as_str())
    .bind(access.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Its holder made it.
pub async fn offered(tx: &mut Tx, id: &VersionId, key: &PublicKey) -> Result<(), Error> {
    sqlx::query("UPDATE key_version SET client_key = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(key.openssh())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn generated(tx: &mut Tx, id: &VersionId, key: &PublicKey) -> Result<(), Error> {
    sqlx::query("UPDATE key_version SET public_key = $2, pushed_state = 'STAGED' WHERE id = $1 AND public_key IS NULL")
        .bind(id.as_str())
        .bind(key.openssh())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn set_state(tx: &mut Tx, id: &VersionId, state: VersionState) -> Result<(), Error> {
    sqlx::query("UPDATE key_version SET state = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(state.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn promoted(tx: &mut Tx, id: &VersionId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE key_version SET state = 'ACTIVE', promoted_at = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Its private half is to be destroyed.
pub async fn destroy(tx: &mut Tx, id: &VersionId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE key_version SET destroy_at = $2 WHERE id = $1 AND destroy_at IS NULL")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Revokes every live version of the access and has its material destroyed. `compromised` marks what was revoked last:
/// now, or, where nothing was alive any more, by the revocation before. A key that has never come into use may be marked,
/// but it does not stand for the one that somebody had.
pub async fn revoke_all(tx: &mut Tx, access: &AccessId, compromised: bool) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE key_version SET state = 'REVOKED', revoked_at = $2, destroy_at = COALESCE(destroy_at, $2)
          WHERE access_id = $1 AND state IN ('STAGED', 'ACTIVE', 'GRACE')",
    )
    .bind(access.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    if compromised {
        sqlx::query(
            "UPDATE key_version SET compromised_at = $2, pushed_state = NULL
              WHERE access_id = $1 AND compromised_at IS NULL
                AND revoked_at >= COALESCE(
                    (SELECT MAX(revoked_at) FROM key_version WHERE access_id = $1 AND promoted_at IS NOT NULL),
                    (SELECT MAX(revoked_at) FROM key_version WHERE access_id = $1))",
        )
        .bind(access.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// credential-store knows it as it was when it was read, and no newer.
pub async fn pushed(tx: &mut Tx, version: &Version) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE key_version SET pushed_state = $2, destroyed_at = CASE WHEN destroy_at IS NULL THEN NULL ELSE CAST($3 AS BIGINT) END
          WHERE id = $1 AND state = $2 AND COALESCE(destroy_at, 0) = $4 AND COALESCE(compromised_at, 0) = $5",
    )
    .bind(version.id.as_str())
    .bind(version.state.as_str())
    .bind(now)
    .bind(version.destroy_at.map_or(0, Instant::micros))
    .bind(version.compromised_at.map_or(0, Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Oldest first.
pub async fn of(conn: &mut Connection, access: &AccessId) -> Result<Vec<Version>, Error> {
    let rows = sqlx::query(
        "SELECT id, access_id, number, state, public_key, client_key, created_at, promoted_at, compromised_at, destroy_at,
                destroyed_at, pushed_state
           FROM key_version WHERE access_id = $1 ORDER BY number",
    )
    .bind(access.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(version).collect()
}

/// Accesses with versions of which credential-store does not know the truth, though no open rotation is at it.
pub async fn unpushed(conn: &mut Connection, limit: i64) -> Result<Vec<AccessId>, Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT access_id FROM key_version
          WHERE (state IN ('REVOKED', 'FAILED', 'RETIRED')
                 AND (pushed_state IS NULL OR pushed_state <> state
                      OR (destroy_at IS NOT NULL AND destroyed_at IS NULL)))
             OR (state = 'ACTIVE' AND pushed_state = 'ACTIVE' AND destroy_at IS NOT NULL AND destroyed_at IS NULL)
          LIMIT $1",
    )
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("access_id")).collect()
}

fn version(row: &AnyRow) -> Result<Version, Error> {
    Ok(Version {
        id: row.text("id")?,
        access: row.text("access_id")?,
        number: row.int("number")?,
        state: row.text("state")?,
        public_key: read_key(row, "public_key")?,
        client_key: read_key(row, "client_key")?,
        created_at: row.int("created_at")?,
        promoted_at: row.opt_int("promoted_at")?,
        compromised_at: row.opt_int("compromised_at")?,
        destroy_at: row.opt_int("destroy_at")?,
        destroyed_at: row.opt_int("destroyed_at")?,
        pushed_state: row.opt_text("pushed_state")?,
    })
}
