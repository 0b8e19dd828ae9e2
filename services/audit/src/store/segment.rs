//! Segments: complete runs of 65,536 leaves, each a node of level 2 of the tree.

use super::tree::{hash, signed};
use keywright_domain::clock::Instant;
use keywright_log::Hash;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

/// How many leaves one has.
pub const LEAVES: i64 = 65_536;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub number: i64,
    pub root: Hash,
    pub ended_at: Instant,
    pub exported_at: Option<Instant>,
    pub retired_at: Option<Instant>,
}

impl Segment {
    pub const fn from(&self) -> i64 {
        self.number.saturating_mul(LEAVES)
    }

    pub const fn until(&self) -> i64 {
        self.from().saturating_add(LEAVES)
    }
}

/// Those before `before`, newest first.
pub async fn list(db: &Db, before: i64, limit: i64) -> Result<Vec<Segment>, Error> {
    let rows = sqlx::query(
        "SELECT n.idx, n.hash, l.recorded_at, s.exported_at, s.retired_at
           FROM node n JOIN leaf l ON l.seq = n.idx * 65536 + 65535 LEFT JOIN segment s ON s.number = n.idx
          WHERE n.level = 2 AND n.idx < $1 ORDER BY n.idx DESC LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

pub async fn get(db: &Db, number: i64) -> Result<Option<Segment>, Error> {
    let row = sqlx::query(
        "SELECT n.idx, n.hash, l.recorded_at, s.exported_at, s.retired_at
           FROM node n JOIN leaf l ON l.seq = n.idx * 65536 + 65535 LEFT JOIN segment s ON s.number = n.idx
          WHERE n.level = 2 AND n.idx = $1",
    )
    .bind(number)
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<Segment, Error> {
    Ok(Segment {
        number: row.int("idx")?,
        root: hash(row.text("hash")?)?,
        ended_at: row.int("recorded_at")?,
        exported_at: row.opt_int("exported_at")?,
        retired_at: row.opt_int("retired_at")?,
    })
}

/// The segments that lie wholly in this range were exported.
pub async fn exported(tx: &mut Tx, from: u64, until: u64) -> Result<(), Error> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO segment (number, exported_at) SELECT idx, $3 FROM node
          WHERE level = 2 AND idx * 65536 >= $1 AND idx * 65536 + 65536 <= $2
             ON CONFLICT (number) DO UPDATE SET exported_at = COALESCE(segment.exported_at, $3)",
    )
    .bind(signed(from)?)
    .bind(signed(until)?)
    .bind(now.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn retired(tx: &mut Tx, number: i64) -> Result<(), Error> {
    let now = tx.now();
    sqlx::query("UPDATE segment SET retired_at = COALESCE(retired_at, $2) WHERE number = $1")
        .bind(number)
        .bind(now.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes the entries at these positions; their hashes stay. An event is forgotten with its intent: what was said in clear
/// of its outcome, where that stands further on, goes too, since nothing would lead to it any more.
pub async fn forget(tx: &mut Tx, from: i64, until: i64) -> Result<(), Error> {
    sqlx::query(
        "DELETE FROM clear_value WHERE seq IN
                (SELECT o.seq FROM leaf l JOIN leaf o ON o.event_id = l.event_id WHERE l.seq >= $1 AND l.seq < $2)",
    )
    .bind(from)
    .bind(until)
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM mention WHERE seq >= $1 AND seq < $2")
        .bind(from)
        .bind(until)
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM event WHERE seq >= $1 AND seq < $2")
        .bind(from)
        .bind(until)
        .execute(tx.conn())
        .await?;
    sqlx::query("UPDATE leaf SET bytes = $3 WHERE seq >= $1 AND seq < $2")
        .bind(from)
        .bind(until)
        .bind(Vec::<u8>::new())
        .execute(tx.conn())
        .await?;
    Ok(())
}
