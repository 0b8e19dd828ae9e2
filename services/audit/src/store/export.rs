//! The log in its own order, for whoever takes it away.

use super::tree::{hash, signed, unsigned};
use keywright_log::export::Entry;
use keywright_log::leaf::Shown;
use keywright_storage::{Columns, Db, Error};
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// A leaf with its clear values; none of it where it is retired.
#[derive(Debug, Clone)]
pub struct Row {
    pub seq: u64,
    pub entry: Option<Entry>,
}

/// The leaves from `from` on and before `until`, at most `limit`.
pub async fn rows(db: &Db, from: u64, until: u64, limit: i64) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query(
        "SELECT l.seq, l.hash, l.bytes, c.actor, c.source_ip, c.user_agent, c.target, c.details, c.salts
           FROM leaf l LEFT JOIN clear_value c ON c.seq = l.seq
          WHERE l.seq >= $1 AND l.seq < $2 ORDER BY l.seq LIMIT $3",
    )
    .bind(signed(from)?)
    .bind(signed(until)?)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

/// Those of one tenant among the leaves from `from` on and before `until`: its intents, and what became of them.
pub async fn rows_of_tenant(db: &Db, tenant: &str, from: u64, until: u64) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query(
        "SELECT l.seq, l.hash, l.bytes, c.actor, c.source_ip, c.user_agent, c.target, c.details, c.salts
           FROM leaf l JOIN event e ON e.seq = l.intent_seq
           LEFT JOIN clear_value c ON c.seq = l.seq
          WHERE l.seq >= $1 AND l.seq < $2 AND e.tenant_id = $3 ORDER BY l.seq",
    )
    .bind(signed(from)?)
    .bind(signed(until)?)
    .bind(tenant)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Row, Error> {
    let seq: i64 = row.int("seq")?;
    let seq = unsigned(seq);
    let bytes = row.blob("bytes")?;
    if bytes.is_empty() {
        return Ok(Row { seq, entry: None });
    }
    let corrupt = |what: &str| Error::Corrupt(what.to_owned());
    let leaf = String::from_utf8(bytes).map_err(|_| corrupt("bytes"))?;
    let salts: Option<String> = row.opt_text("salts")?;
    let salts: BTreeMap<String, String> = match salts {
        Some(text) => serde_json::from_str(&text).map_err(|_| corrupt("salts"))?,
        None => BTreeMap::new(),
    };
    // A value without its salt was erased.
    let kept = |name: &str, column: &str| match salts.contains_key(name) {
        true => row.opt_text::<String>(column),
        false => Ok(None),
    };
    let details = kept("details", "details")?.map(|text| serde_json::from_str(&text)).transpose();
    let clear = Shown {
        actor: kept("actor", "actor")?,
        source_ip: kept("sourceIp", "source_ip")?,
        user_agent: kept("userAgent", "user_agent")?,
        target: kept("target", "target")?,
        details: details.map_err(|_| corrupt("details"))?,
    };
    let hash = hash(row.text("hash")?)?.hex();
    Ok(Row { seq, entry: Some(Entry { index: seq, hash, leaf, clear, salts }) })
}
