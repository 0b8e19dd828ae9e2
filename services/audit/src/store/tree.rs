//! The tree's hashes: those of the leaves stand with the leaves, and every complete subtree of 256, 256², … leaves has
//! its root in `node`. From these any root is a few hundred hashes away.
//!
//! A leaf and a node are never changed, so they are read outside of transactions.

use super::log::array;
use keywright_log::Hash;
use keywright_log::tree::{self, Leaves, Subtree};
use keywright_storage::{Columns, Db, Dialect, Error, Tx};
use serde_json::json;
use std::collections::HashMap;

/// One level of nodes covers 2^8 of the level below.
const BITS: u8 = 8;

/// Some of one row of hashes: of the leaves (level 0) or of the nodes of a level.
#[derive(Debug, Clone, Copy)]
struct Run {
    from: i64,
    until: i64,
}

/// The hashes at these positions of a level, in order; the level 0 is that of the leaves.
pub async fn row(db: &Db, level: u8, from: u64, until: u64) -> Result<Vec<Hash>, Error> {
    let run = Run { from: signed(from)?, until: signed(until)? };
    let found = rows(db, level, &[run]).await?;
    (run.from..run.until).map(|idx| found.get(&idx).copied().ok_or_else(missing)).collect()
}

/// The roots of these ranges of leaves, all of them below a size whose nodes are written.
pub async fn roots(db: &Db, ranges: &[Leaves]) -> Result<Vec<Hash>, Error> {
    let subtrees: Vec<Vec<Subtree>> = ranges.iter().map(tree::subtrees).collect();
    let mut wanted: HashMap<u8, Vec<Run>> = HashMap::new();
    for subtree in subtrees.iter().flatten() {
        let (level, run) = place(*subtree)?;
        wanted.entry(level).or_default().push(run);
    }
    let mut found: HashMap<u8, HashMap<i64, Hash>> = HashMap::new();
    for (level, runs) in wanted {
        found.insert(level, rows(db, level, &runs).await?);
    }
    subtrees.iter().map(|range| range_root(range, &found)).collect()
}

fn range_root(subtrees: &[Subtree], found: &HashMap<u8, HashMap<i64, Hash>>) -> Result<Hash, Error> {
    let roots = subtrees.iter().map(|subtree| {
        let (level, run) = place(*subtree)?;
        let row = found.get(&level).ok_or_else(missing)?;
        let hashes = (run.from..run.until).map(|idx| row.get(&idx).copied().ok_or_else(missing));
        Ok(complete(hashes.collect::<Result<Vec<_>, _>>()?))
    });
    Ok(tree::fold(roots.collect::<Result<Vec<_>, Error>>()?))
}

/// The root over a power of two of hashes.
pub fn complete(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        let pairs = hashes.chunks_exact(2);
        hashes = pairs
            .filter_map(|pair| match pair {
                [left, right] => Some(Hash::node(*left, *right)),
                _ => None,
            })
            .collect();
    }
    hashes.first().copied().unwrap_or_else(Hash::of_nothing)
}

/// From which hashes of which level the root of a subtree is made.
fn place(subtree: Subtree) -> Result<(u8, Run), Error> {
    let level = subtree.height / BITS;
    let shift = u32::from(level.saturating_mul(BITS));
    let end = subtree.end().ok_or_else(missing)?;
    Ok((level, Run { from: signed(subtree.start >> shift)?, until: signed(end >> shift)? }))
}

async fn rows(db: &Db, level: u8, runs: &[Run]) -> Result<HashMap<i64, Hash>, Error> {
    let asked = array(runs.iter().map(|run| json!([run.from, run.until])));
    let rows = match level {
        0 => {
            sqlx::query(match db.dialect() {
                Dialect::Sqlite => {
                    "SELECT l.seq AS idx, l.hash FROM json_each($1) AS asked
                       JOIN leaf l ON l.seq >= asked.value ->> 0 AND l.seq < asked.value ->> 1"
                }
                Dialect::Postgres => {
                    "SELECT l.seq AS idx, l.hash FROM jsonb_array_elements(CAST($1 AS jsonb)) AS asked(value)
                       JOIN leaf l ON l.seq >= CAST(asked.value ->> 0 AS BIGINT) AND l.seq < CAST(asked.value ->> 1 AS BIGINT)"
                }
            })
            .bind(asked)
            .fetch_all(db.read())
            .await?
        }
        level => {
            sqlx::query(match db.dialect() {
                Dialect::Sqlite => {
                    "SELECT n.idx, n.hash FROM json_each($1) AS asked
                       JOIN node n ON n.level = $2 AND n.idx >= asked.value ->> 0 AND n.idx < asked.value ->> 1"
                }
                Dialect::Postgres => {
                    "SELECT n.idx, n.hash FROM jsonb_array_elements(CAST($1 AS jsonb)) AS asked(value)
                       JOIN node n ON n.level = $2 AND n.idx >= CAST(asked.value ->> 0 AS BIGINT)
                                  AND n.idx < CAST(asked.value ->> 1 AS BIGINT)"
                }
            })
            .bind(asked)
            .bind(i64::from(level))
            .fetch_all(db.read())
            .await?
        }
    };
    let read = |row: &sqlx::any::AnyRow| Ok((row.int("idx")?, hash(row.text("hash")?)?));
    rows.iter().map(read).collect()
}

/// How many nodes a level has.
pub async fn nodes(db: &Db, level: u8) -> Result<u64, Error> {
    let row = sqlx::query("SELECT MAX(idx) AS last FROM node WHERE level = $1")
        .bind(i64::from(level))
        .fetch_one(db.read())
        .await?;
    let last: Option<i64> = row.opt_int("last")?;
    Ok(last.map_or(0, |last| unsigned(last).saturating_add(1)))
}

/// Writes nodes of a level from position `from` on; those that another process has written are the same.
pub async fn add(tx: &mut Tx, dialect: Dialect, level: u8, from: u64, hashes: &[Hash]) -> Result<(), Error> {
    let rows = (from..).zip(hashes).map(|(idx, hash)| json!([idx, hash.hex()]));
    sqlx::query(match dialect {
        Dialect::Sqlite => {
            "INSERT INTO node (level, idx, hash) SELECT $2, value ->> 0, value ->> 1 FROM json_each($1) WHERE true
                 ON CONFLICT (level, idx) DO NOTHING"
        }
        Dialect::Postgres => {
            "INSERT INTO node (level, idx, hash)
             SELECT $2, CAST(value ->> 0 AS BIGINT), value ->> 1 FROM jsonb_array_elements(CAST($1 AS jsonb))
                 ON CONFLICT (level, idx) DO NOTHING"
        }
    })
    .bind(array(rows))
    .bind(i64::from(level))
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub fn hash(text: String) -> Result<Hash, Error> {
    Hash::from_hex(&text).ok_or_else(|| Error::Corrupt("hash".to_owned()))
}

pub fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::Corrupt("seq".to_owned()))
}

/// Positions and sizes are never negative.
pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn missing() -> Error {
    Error::Corrupt("hash".to_owned())
}
