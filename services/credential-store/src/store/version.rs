//! The versions of a credential, and the fingerprints that never come back.

use crate::domain::version::{State, Version};
use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::ids::{CredentialId, VersionId};
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

fn decode(row: &AnyRow) -> Result<Version, Error> {
    Ok(Version {
        id: row.text("id")?,
        number: row.int("number")?,
        state: row.text("state")?,
        origin: row.text("origin")?,
        public: row.text("public_key")?,
        compromised_at: row.opt_int("compromised_at")?,
        destroyed_at: row.opt_int("destroyed_at")?,
        created_at: row.int("created_at")?,
    })
}

pub(super) async fn read(
    conn: &mut AnyConnection,
    credential: &CredentialId,
    id: &VersionId,
) -> Result<Option<Version>, Error> {
    let row = sqlx::query(
        "SELECT id, number, state, origin, public_key, compromised_at, destroyed_at, created_at
           FROM credential_version WHERE credential_id = $1 AND id = $2",
    )
    .bind(credential.as_str())
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(decode).transpose()
}

pub async fn find(db: &Db, credential: &CredentialId, id: &VersionId) -> Result<Option<Version>, Error> {
    let mut conn = db.read().acquire().await?;
    read(&mut conn, credential, id).await
}

pub async fn find_in(
    tx: &mut Tx,
    credential: &CredentialId,
    id: &VersionId,
) -> Result<Option<Version>, Error> {
    read(tx.conn(), credential, id).await
}

async fn all(conn: &mut AnyConnection, credential: &CredentialId) -> Result<Vec<Version>, Error> {
    let rows = sqlx::query(
        "SELECT id, number, state, origin, public_key, compromised_at, destroyed_at, created_at
           FROM credential_version WHERE credential_id = $1 ORDER BY number DESC",
    )
    .bind(credential.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(decode).collect()
}

/// Newest first.
pub async fn list(db: &Db, credential: &CredentialId) -> Result<Vec<Version>, Error> {
    let mut conn = db.read().acquire().await?;
    all(&mut conn, credential).await
}

pub async fn list_in(tx: &mut Tx, credential: &CredentialId) -> Result<Vec<Version>, Error> {
    all(tx.conn(), credential).await
}

/// The number after the last.
pub async fn next_number(tx: &mut Tx, credential: &CredentialId) -> Result<i32, Error> {
    let row = sqlx::query("SELECT CAST(COALESCE(MAX(number), 0) AS BIGINT) AS last FROM credential_version WHERE credential_id = $1")
        .bind(credential.as_str())
        .fetch_one(tx.conn())
        .await?;
    let last: i32 = row.int("last")?;
    last.checked_add(1).ok_or_else(|| Error::Corrupt("number".to_owned()))
}

pub async fn insert(tx: &mut Tx, credential: &CredentialId, version: &Version) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO credential_version (id, credential_id, number, state, origin, public_key, fingerprint, created_at,
                                         destroyed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(version.id.as_str())
    .bind(credential.as_str())
    .bind(i64::from(version.number))
    .bind(version.state.as_str())
    .bind(version.origin.as_str())
    .bind(version.public.openssh())
    .bind(version.public.fingerprint().as_str())
    .bind(version.created_at.micros())
    .bind(version.destroyed_at.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn set_state(tx: &mut Tx, id: &VersionId, state: State) -> Result<(), Error> {
    sqlx::query("UPDATE credential_version SET state = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(state.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// For ever: the fingerprint outlives the version.
pub async fn compromised(tx: &mut Tx, version: &Version) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE credential_version SET compromised_at = $2 WHERE id = $1 AND compromised_at IS NULL")
        .bind(version.id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "INSERT INTO compromised_fingerprint (fingerprint, version_id, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (fingerprint) DO NOTHING",
    )
    .bind(version.public.fingerprint().as_str())
    .bind(version.id.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn is_compromised(tx: &mut Tx, fingerprint: &Fingerprint) -> Result<bool, Error> {
    let row = sqlx::query("SELECT version_id FROM compromised_fingerprint WHERE fingerprint = $1")
        .bind(fingerprint.as_str())
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.is_some())
}

/// Whether any credential has, or had, this key in use.
pub async fn is_known_key(tx: &mut Tx, fingerprint: &Fingerprint) -> Result<bool, Error> {
    let row =
        sqlx::query("SELECT id FROM credential_version WHERE fingerprint = $1 AND state <> 'failed' LIMIT 1")
            .bind(fingerprint.as_str())
            .fetch_optional(tx.conn())
            .await?;
    Ok(row.is_some())
}
