//! Checkpoints, the names under which the log went on, and the keys that signed.

use super::tree::{hash, signed, unsigned};
use keywright_domain::clock::Instant;
use keywright_log::Hash;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

/// A name of the log, and from which size on it goes by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub number: i64,
    pub name: String,
    pub from_size: u64,
}

/// A checkpoint that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub origin: i64,
    pub size: u64,
    pub root: Hash,
    pub note: String,
    pub at: Instant,
}

/// A public key that signs or has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub verifier: String,
    pub origin: String,
    pub from_size: u64,
    pub since: Instant,
    pub active: bool,
}

/// The name that the log has now; none before its first checkpoint.
pub async fn origin(db: &Db) -> Result<Option<Origin>, Error> {
    let row = sqlx::query("SELECT number, origin, from_size FROM origin ORDER BY number DESC LIMIT 1")
        .fetch_optional(db.read())
        .await?;
    row.map(|row| {
        let from_size: i64 = row.int("from_size")?;
        Ok(Origin { number: row.int("number")?, name: row.text("origin")?, from_size: unsigned(from_size) })
    })
    .transpose()
}

/// Gives the log a name from `from_size` on, unless it has that number of names already.
pub async fn name(tx: &mut Tx, origin: &Origin) -> Result<(), Error> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO origin (number, origin, from_size, started_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (number) DO NOTHING",
    )
    .bind(origin.number)
    .bind(&origin.name)
    .bind(signed(origin.from_size)?)
    .bind(now.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn newest(db: &Db) -> Result<Option<Signed>, Error> {
    let row = sqlx::query(
        "SELECT origin_number, size, root, note, signed_at FROM checkpoint
          ORDER BY origin_number DESC, size DESC LIMIT 1",
    )
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

/// The newest one that was signed at this size.
pub async fn of_size(db: &Db, size: u64) -> Result<Option<Signed>, Error> {
    let row = sqlx::query(
        "SELECT origin_number, size, root, note, signed_at FROM checkpoint WHERE size = $1
          ORDER BY origin_number DESC LIMIT 1",
    )
    .bind(signed(size)?)
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

/// Keeps a checkpoint, unless one of this name is as large already: false then.
pub async fn add(tx: &mut Tx, checkpoint: &Signed) -> Result<bool, Error> {
    let size = signed(checkpoint.size)?;
    let row = sqlx::query("SELECT MAX(size) AS size FROM checkpoint WHERE origin_number = $1")
        .bind(checkpoint.origin)
        .fetch_one(tx.conn())
        .await?;
    let last: Option<i64> = row.opt_int("size")?;
    if last.is_some_and(|last| last >= size) {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO checkpoint (origin_number, size, root, note, signed_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(checkpoint.origin)
    .bind(size)
    .bind(checkpoint.root.hex())
    .bind(&checkpoint.note)
    .bind(checkpoint.at.micros())
    .execute(tx.conn())
    .await?;
    Ok(true)
}

fn read(row: &AnyRow) -> Result<Signed, Error> {
    let size: i64 = row.int("size")?;
    Ok(Signed {
        origin: row.int("origin_number")?,
        size: unsigned(size),
        root: hash(row.text("root")?)?,
        note: row.text("note")?,
        at: row.int("signed_at")?,
    })
}

/// All that ever signed, newest first.
pub async fn keys(db: &Db) -> Result<Vec<Key>, Error> {
    let rows = sqlx::query(
        "SELECT verifier_key, origin, from_size, since, active FROM checkpoint_key
          ORDER BY active DESC, since DESC, verifier_key",
    )
    .fetch_all(db.read())
    .await?;
    rows.iter()
        .map(|row| {
            let (from_size, active): (i64, i64) = (row.int("from_size")?, row.int("active")?);
            Ok(Key {
                verifier: row.text("verifier_key")?,
                origin: row.text("origin")?,
                from_size: unsigned(from_size),
                since: row.int("since")?,
                active: active != 0,
            })
        })
        .collect()
}

/// A key signs for the first time, or again.
pub async fn key_signs(tx: &mut Tx, verifier: &str, origin: &str, size: u64) -> Result<(), Error> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO checkpoint_key (verifier_key, origin, from_size, since, active) VALUES ($1, $2, $3, $4, 1)
             ON CONFLICT (verifier_key) DO UPDATE SET active = 1",
    )
    .bind(verifier)
    .bind(origin)
    .bind(signed(size)?)
    .bind(now.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn key_rests(tx: &mut Tx, verifier: &str) -> Result<(), Error> {
    sqlx::query("UPDATE checkpoint_key SET active = 0 WHERE verifier_key = $1")
        .bind(verifier)
        .execute(tx.conn())
        .await?;
    Ok(())
}
