//! The log as others are handed it: a record for each leaf, in the order of the log.

use keywright_domain::clock::Instant;
use keywright_storage::{Columns, Db, Error};
use serde::Serialize;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// A leaf with what is known of its event. What was erased is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Decimal, as in the API.
    pub sequence: String,
    #[serde(skip)]
    pub position: i64,
    pub event_id: String,
    /// `INTENT` or `OUTCOME`.
    pub kind: String,
    /// RFC 3339.
    pub time: String,
    #[serde(skip)]
    pub at: Instant,
    pub action: String,
    pub actor: String,
    pub actor_kind: String,
    pub tenant_id: String,
    pub target: String,
    /// `PENDING` of an intent.
    pub outcome: String,
    pub reason: String,
    pub source_ip: String,
    pub user_agent: String,
    pub comment: String,
    pub request_id: String,
    pub trace_id: String,
    /// Of this leaf alone.
    pub details: BTreeMap<String, String>,
    /// Hexadecimal.
    pub leaf_hash: String,
}

impl Record {
    /// About as many bytes as it has in any form.
    pub fn size(&self) -> usize {
        let texts =
            [&self.actor, &self.target, &self.user_agent, &self.comment, &self.source_ip, &self.reason];
        let details = self.details.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        texts.into_iter().map(String::len).chain(details).fold(1_024, usize::saturating_add)
    }
}

/// At most `limit` from position `next` on.
pub async fn from(db: &Db, next: i64, limit: i64) -> Result<Vec<Record>, Error> {
    let rows = sqlx::query(
        "SELECT l.seq, l.event_id, l.bytes, l.hash, l.recorded_at, e.action, e.actor_kind, e.tenant_id, e.comment_text,
                e.request_id, e.trace_id, c.actor, c.source_ip, c.user_agent, c.target, d.details
           FROM leaf l
           JOIN event e ON e.seq = l.intent_seq
           LEFT JOIN clear_value c ON c.seq = l.intent_seq
           LEFT JOIN clear_value d ON d.seq = l.seq
          WHERE l.seq >= $1 ORDER BY l.seq LIMIT $2",
    )
    .bind(next)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

/// An event's row says how the event stands now; the leaf says what it said then.
fn read(row: &AnyRow) -> Result<Record, Error> {
    let unreadable = || Error::Corrupt("bytes".to_owned());
    let mut said: BTreeMap<String, String> =
        serde_json::from_slice(&row.blob("bytes")?).map_err(|_| unreadable())?;
    let mut said = |name: &str| said.remove(name);
    let erased = |value: Option<String>| value.unwrap_or_default();
    let position: i64 = row.int("seq")?;
    let details = row.opt_text("details")?.and_then(|text: String| serde_json::from_str(&text).ok());
    Ok(Record {
        sequence: position.to_string(),
        position,
        event_id: row.text("event_id")?,
        kind: said("kind").ok_or_else(unreadable)?,
        time: said("time").ok_or_else(unreadable)?,
        at: row.int("recorded_at")?,
        action: row.text("action")?,
        actor: erased(row.opt_text("actor")?),
        actor_kind: row.text("actor_kind")?,
        tenant_id: row.text("tenant_id")?,
        target: erased(row.opt_text("target")?),
        outcome: said("outcome").unwrap_or_else(|| "PENDING".to_owned()),
        reason: said("reason").unwrap_or_default(),
        source_ip: erased(row.opt_text("source_ip")?),
        user_agent: erased(row.opt_text("user_agent")?),
        comment: row.text("comment_text")?,
        request_id: row.text("request_id")?,
        trace_id: row.text("trace_id")?,
        details: details.unwrap_or_default(),
        leaf_hash: row.text("hash")?,
    })
}
