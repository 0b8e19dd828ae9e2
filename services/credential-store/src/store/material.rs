//! What custody needs of the database: the fate of material, and the embedded store's sealed bytes.
//!
//! Invariant: plaintext and unwrapped data keys never come here.

use crate::domain::kek::KekId;
use keywright_domain::clock::Instant;
use keywright_domain::ids::VersionId;
use keywright_storage::{Columns, Db, Dialect, Error, Tx};

/// What an announcement found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// The material may be written; until it is adopted it is nobody's.
    Pending,
    /// A version's row names the material already: there is nothing to write, and nothing to clean up.
    Named,
    /// It is being destroyed.
    Doomed,
}

/// Announces material that no version names yet.
pub async fn announce(tx: &mut Tx, id: &VersionId) -> Result<Announced, Error> {
    let named = sqlx::query("SELECT id FROM credential_version WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(tx.conn())
        .await?;
    if named.is_some() {
        return Ok(Announced::Named);
    }
    let now = tx.now().micros();
    let done = sqlx::query(
        "INSERT INTO material_fate (version_id, fate, since) VALUES ($1, 'pending', $2)
         ON CONFLICT (version_id) DO UPDATE SET since = $2 WHERE material_fate.fate = 'pending'",
    )
    .bind(id.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(if done.rows_affected() > 0 { Announced::Pending } else { Announced::Doomed })
}

/// The version's row names the material from now on. False where it is no longer pending.
pub async fn adopt(tx: &mut Tx, id: &VersionId) -> Result<bool, Error> {
    let done = sqlx::query("DELETE FROM material_fate WHERE version_id = $1 AND fate = 'pending'")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The material is to be destroyed, and nothing stops that any more.
pub async fn doom(tx: &mut Tx, id: &VersionId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO material_fate (version_id, fate, since) VALUES ($1, 'doomed', $2)
         ON CONFLICT (version_id) DO UPDATE SET fate = 'doomed'",
    )
    .bind(id.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Dooms material that no version's row names. False where one does: the write may have committed though its answer
/// was lost.
pub async fn doom_pending(tx: &mut Tx, id: &VersionId) -> Result<bool, Error> {
    let done =
        sqlx::query("UPDATE material_fate SET fate = 'doomed' WHERE version_id = $1 AND fate = 'pending'")
            .bind(id.as_str())
            .execute(tx.conn())
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Dooms what was announced before `oldest` and never adopted: its request died.
pub async fn doom_forgotten(tx: &mut Tx, oldest: Instant) -> Result<(), Error> {
    sqlx::query(
        "UPDATE material_fate SET fate = 'doomed'
          WHERE fate = 'pending' AND since < $1 AND version_id NOT IN (SELECT id FROM credential_version)",
    )
    .bind(oldest.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn doomed(db: &Db) -> Result<Vec<VersionId>, Error> {
    let rows =
        sqlx::query("SELECT version_id FROM material_fate WHERE fate = 'doomed' ORDER BY since LIMIT 100")
            .fetch_all(db.read())
            .await?;
    rows.iter().map(|row| row.text("version_id")).collect()
}

/// The material is gone.
pub async fn buried(tx: &mut Tx, id: &VersionId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("DELETE FROM material_fate WHERE version_id = $1")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query("UPDATE credential_version SET destroyed_at = $2 WHERE id = $1 AND destroyed_at IS NULL")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A version's sealed material and its wrapped data key.
pub struct Sealed {
    /// What the data key lies under.
    pub kek: KekId,
    pub wrapped: Vec<u8>,
    pub sealed: Vec<u8>,
}

pub async fn insert(tx: &mut Tx, id: &VersionId, material: &Sealed) -> Result<(), Error> {
    sqlx::query("INSERT INTO data_key (version_id, wrapped, kek_id) VALUES ($1, $2, $3)")
        .bind(id.as_str())
        .bind(material.wrapped.as_slice())
        .bind(material.kek.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query("INSERT INTO material (version_id, sealed) VALUES ($1, $2)")
        .bind(id.as_str())
        .bind(material.sealed.as_slice())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn find(db: &Db, id: &VersionId) -> Result<Option<Sealed>, Error> {
    let row = sqlx::query(
        "SELECT k.kek_id, k.wrapped, m.sealed FROM data_key k JOIN material m ON m.version_id = k.version_id
          WHERE k.version_id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(db.read())
    .await?;
    row.map(|row| {
        Ok(Sealed { kek: row.text("kek_id")?, wrapped: row.blob("wrapped")?, sealed: row.blob("sealed")? })
    })
    .transpose()
}

pub async fn delete(tx: &mut Tx, id: &VersionId) -> Result<(), Error> {
    sqlx::query("DELETE FROM data_key WHERE version_id = $1").bind(id.as_str()).execute(tx.conn()).await?;
    sqlx::query("DELETE FROM material WHERE version_id = $1").bind(id.as_str()).execute(tx.conn()).await?;
    Ok(())
}

/// The number of a transaction that begins now; 0 where nobody numbers them.
pub async fn horizon(db: &Db) -> Result<i64, Error> {
    if db.dialect() == Dialect::Sqlite {
        return Ok(0);
    }
    sqlx::query("SELECT txid_current() AS horizon").fetch_one(db.read()).await?.int("horizon")
}

/// Leaves nothing of what was deleted or replaced before the horizon in the files of the tables of wraps. SQLite has
/// overwritten it in its pages (`secure_delete`) and here empties its log. PostgreSQL keeps dead rows where they were:
/// here the small table is written anew and the old file goes; its write-ahead log keeps them until it is recycled.
/// False where a reader was in the way.
pub async fn scrub(db: &Db, horizon: i64) -> Result<bool, Error> {
    if db.dialect() == Dialect::Sqlite {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(db.read()).await?;
        return Ok(row.int::<i64>("busy")? == 0);
    }
    // Rows that somebody may still see would be carried over: whoever reads here by a snapshot from before, and also every
    // new snapshot, as long as a transaction from before runs in any database of the server.
    let row = sqlx::query(
        "SELECT CASE WHEN txid_snapshot_xmin(txid_current_snapshot()) > $1 THEN 0 ELSE 1 END
              + (SELECT COUNT(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()
                    AND age(backend_xmin) >= age(CAST(CAST($1 % 4294967296 AS TEXT) AS xid))) AS older",
    )
    .bind(horizon)
    .fetch_one(db.read())
    .await?;
    if row.int::<i64>("older")? > 0 {
        return Ok(false);
    }
    sqlx::query("VACUUM (FULL) data_key").execute(db.read()).await?;
    Ok(true)
}
