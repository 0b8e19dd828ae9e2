//! Which key-encryption keys there are, and which data keys lie under which.
//!
//! Invariant: exactly one is current once there is any; a data key's row always names the key it lies under.

use crate::domain::kek::{KekId, KekState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::VersionId;
use keywright_storage::{Columns, Db, Error, Tx};

/// A key-encryption key as the database knows it.
#[derive(Debug, Clone)]
pub struct KekRow {
    pub id: KekId,
    pub state: KekState,
    /// A known text under the key.
    pub check: Vec<u8>,
    /// Unknown for one that was there before keys had names.
    pub created_at: Option<Instant>,
}

/// All that are not gone.
pub async fn all(db: &Db) -> Result<Vec<KekRow>, Error> {
    let rows = sqlx::query(
        "SELECT id, state, sealed, created_at FROM key_check WHERE state IS NOT NULL AND state <> 'gone' ORDER BY id",
    )
    .fetch_all(db.read())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(KekRow {
                id: row.text("id")?,
                state: row.text("state")?,
                check: row.blob("sealed")?,
                created_at: row.opt_int("created_at")?,
            })
        })
        .collect()
}

/// The known text of the key from before keys had names.
pub async fn unnamed(db: &Db) -> Result<Option<Vec<u8>>, Error> {
    let row =
        sqlx::query("SELECT sealed FROM key_check WHERE state IS NULL").fetch_optional(db.read()).await?;
    row.map(|row| row.blob("sealed")).transpose()
}

/// Gives that key its name.
pub async fn name(tx: &mut Tx, id: &KekId) -> Result<(), Error> {
    sqlx::query("UPDATE key_check SET id = $1, state = 'current' WHERE state IS NULL")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query("UPDATE data_key SET kek_id = $1 WHERE kek_id IS NULL")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn insert(tx: &mut Tx, id: &KekId, state: KekState, check: &[u8]) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("INSERT INTO key_check (id, sealed, state, created_at) VALUES ($1, $2, $3, $4)")
        .bind(id.as_str())
        .bind(check)
        .bind(state.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Whether there is any row at all.
pub async fn any_in(tx: &mut Tx) -> Result<bool, Error> {
    Ok(sqlx::query("SELECT id FROM key_check LIMIT 1").fetch_optional(tx.conn()).await?.is_some())
}

/// The key under which new data keys are put.
pub async fn current_in(tx: &mut Tx) -> Result<Option<KekId>, Error> {
    let row =
        sqlx::query("SELECT id FROM key_check WHERE state = 'current'").fetch_optional(tx.conn()).await?;
    row.map(|row| row.text("id")).transpose()
}

/// Whether data keys still move from one key to the next.
pub async fn turning_in(tx: &mut Tx) -> Result<bool, Error> {
    let row = sqlx::query("SELECT id FROM key_check WHERE state = 'retiring' LIMIT 1")
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.is_some())
}

/// A rotation that was announced and did not come further gives way.
pub async fn supersede(tx: &mut Tx) -> Result<(), Error> {
    sqlx::query("UPDATE key_check SET state = 'retired' WHERE state = 'announced'")
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// False where it is not in the state `from`.
pub async fn advance(tx: &mut Tx, id: &KekId, from: KekState, to: KekState) -> Result<bool, Error> {
    let done = sqlx::query("UPDATE key_check SET state = $3 WHERE id = $1 AND state = $2")
        .bind(id.as_str())
        .bind(from.as_str())
        .bind(to.as_str())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// A data key, as it lies there.
pub struct Wrap {
    pub version: VersionId,
    pub wrapped: Vec<u8>,
}

/// The next data keys under `kek`, by version, after `after`.
pub async fn wraps(db: &Db, kek: &KekId, after: &str, limit: i64) -> Result<Vec<Wrap>, Error> {
    let rows = sqlx::query(
        "SELECT version_id, wrapped FROM data_key WHERE kek_id = $1 AND version_id > $2 ORDER BY version_id LIMIT $3",
    )
    .bind(kek.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter()
        .map(|row| Ok(Wrap { version: row.text("version_id")?, wrapped: row.blob("wrapped")? }))
        .collect()
}

/// Puts a data key under another key; one that was destroyed or moved meanwhile stays as it is.
pub async fn rewrap(tx: &mut Tx, new: &Wrap, from: &KekId, to: &KekId) -> Result<(), Error> {
    sqlx::query("UPDATE data_key SET wrapped = $2, kek_id = $4 WHERE version_id = $1 AND kek_id = $3")
        .bind(new.version.as_str())
        .bind(new.wrapped.as_slice())
        .bind(from.as_str())
        .bind(to.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Whether a data key lies under it.
pub async fn is_used_in(tx: &mut Tx, kek: &KekId) -> Result<bool, Error> {
    let row = sqlx::query("SELECT version_id FROM data_key WHERE kek_id = $1 LIMIT 1")
        .bind(kek.as_str())
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.is_some())
}

/// How many data keys there are, and how many of them lie under `kek`.
pub async fn counts(db: &Db, kek: &str) -> Result<(i64, i64), Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS everything, COUNT(CASE WHEN kek_id = $1 THEN 1 END) AS under FROM data_key",
    )
    .bind(kek)
    .fetch_one(db.read())
    .await?;
    Ok((row.int("everything")?, row.int("under")?))
}
