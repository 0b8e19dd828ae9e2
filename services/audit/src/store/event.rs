//! Events: intent and outcome joined, with their clear values where these were not erased.

use keywright_domain::clock::Instant;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub seq: i64,
    pub outcome_seq: Option<i64>,
    pub time: Instant,
    pub finished_at: Option<Instant>,
    pub actor: String,
    pub actor_kind: String,
    pub tenant: String,
    pub action: String,
    pub target: String,
    pub outcome: String,
    pub reason: String,
    pub comment: String,
    pub source_ip: String,
    pub user_agent: String,
    pub request_id: String,
    pub trace_id: String,
    pub details: BTreeMap<String, String>,
    pub leaf_hash: String,
}

/// The fields of an intent that are not commitments.
#[derive(Debug, Clone, Default)]
pub struct Open {
    pub actor_kind: String,
    pub tenant: String,
    pub action: String,
    pub comment: String,
    pub request_id: String,
    pub trace_id: String,
}

/// What a list is narrowed to; empty means all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub tenant: String,
    pub actor: String,
    pub action: String,
    pub target: String,
    pub outcome: String,
    pub from: Option<Instant>,
    pub until: Option<Instant>,
}

pub async fn open(tx: &mut Tx, event: &str, seq: i64, at: Instant, open: &Open) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO event (event_id, seq, recorded_at, actor_kind, tenant_id, action, outcome, reason, comment_text, request_id, trace_id)
         VALUES ($1, $2, $3, $4, $5, $6, 'pending', '', $7, $8, $9)",
    )
    .bind(event)
    .bind(seq)
    .bind(at.micros())
    .bind(&open.actor_kind)
    .bind(&open.tenant)
    .bind(&open.action)
    .bind(&open.comment)
    .bind(&open.request_id)
    .bind(&open.trace_id)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How the event stands: its outcome, if the event is known.
pub async fn outcome(tx: &mut Tx, event: &str) -> Result<Option<String>, Error> {
    let row = sqlx::query("SELECT outcome FROM event WHERE event_id = $1")
        .bind(event)
        .fetch_optional(tx.conn())
        .await?;
    row.map(|row| row.text("outcome")).transpose()
}

pub async fn close(tx: &mut Tx, event: &str, seq: i64, outcome: &str, reason: &str) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE event SET outcome_seq = $2, finished_at = $3, outcome = $4, reason = $5 WHERE event_id = $1",
    )
    .bind(event)
    .bind(seq)
    .bind(now)
    .bind(outcome)
    .bind(reason)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Events still pending that began before `before`.
pub async fn pending_since(db: &Db, before: Instant) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT event_id FROM event WHERE outcome = 'pending' AND recorded_at < $1 ORDER BY seq LIMIT 100",
    )
    .bind(before.micros())
    .fetch_all(db.read())
    .await?;
    rows.iter().map(|row| row.text("event_id")).collect()
}

pub async fn get(db: &Db, event: &str) -> Result<Option<Event>, Error> {
    let row = sqlx::query(
        "SELECT e.event_id, e.seq, e.outcome_seq, e.recorded_at, e.finished_at, e.actor_kind, e.tenant_id, e.action,
                e.outcome, e.reason, e.comment_text, e.request_id, e.trace_id, l.hash, c.actor, c.source_ip, c.user_agent, c.target,
                c.details, o.details AS outcome_details
           FROM event e
           JOIN leaf l ON l.seq = e.seq
           LEFT JOIN clear_value c ON c.event_id = e.event_id AND c.kind = 'intent'
           LEFT JOIN leaf ol ON ol.seq = e.outcome_seq
           LEFT JOIN clear_value o ON o.event_id = e.event_id AND o.kind = ol.kind
          WHERE e.event_id = $1",
    )
    .bind(event)
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

/// Events before position `before`, newest first.
pub async fn list(db: &Db, filter: &Filter, before: i64, limit: i64) -> Result<Vec<Event>, Error> {
    let rows = sqlx::query(
        "SELECT e.event_id, e.seq, e.outcome_seq, e.recorded_at, e.finished_at, e.actor_kind, e.tenant_id, e.action,
                e.outcome, e.reason, e.comment_text, e.request_id, e.trace_id, l.hash, c.actor, c.source_ip, c.user_agent, c.target,
                c.details, o.details AS outcome_details
           FROM event e
           JOIN leaf l ON l.seq = e.seq
           LEFT JOIN clear_value c ON c.event_id = e.event_id AND c.kind = 'intent'
           LEFT JOIN leaf ol ON ol.seq = e.outcome_seq
           LEFT JOIN clear_value o ON o.event_id = e.event_id AND o.kind = ol.kind
          WHERE e.seq < $1
            AND ($2 = '' OR e.tenant_id = $2)
            AND ($3 = '' OR c.actor = $3)
            AND ($4 = '' OR e.action = $4)
            AND ($5 = '' OR c.target LIKE '%' || $5 || '%')
            AND ($6 = '' OR e.outcome = $6)
            AND e.recorded_at >= $7 AND e.recorded_at < $8
          ORDER BY e.seq DESC LIMIT $9",
    )
    .bind(before)
    .bind(&filter.tenant)
    .bind(&filter.actor)
    .bind(&filter.action)
    .bind(&filter.target)
    .bind(&filter.outcome)
    .bind(filter.from.map_or(i64::MIN, Instant::micros))
    .bind(filter.until.map_or(i64::MAX, Instant::micros))
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Event, Error> {
    let erased = |value: Option<String>| value.unwrap_or_default();
    let mut details = map(row.opt_text("details")?);
    details.extend(map(row.opt_text("outcome_details")?));
    Ok(Event {
        id: row.text("event_id")?,
        seq: row.int("seq")?,
        outcome_seq: row.opt_int("outcome_seq")?,
        time: row.int("recorded_at")?,
        finished_at: row.opt_int("finished_at")?,
        actor: erased(row.opt_text("actor")?),
        actor_kind: row.text("actor_kind")?,
        tenant: row.text("tenant_id")?,
        action: row.text("action")?,
        target: erased(row.opt_text("target")?),
        outcome: row.text("outcome")?,
        reason: row.text("reason")?,
        comment: row.text("comment_text")?,
        source_ip: erased(row.opt_text("source_ip")?),
        user_agent: erased(row.opt_text("user_agent")?),
        request_id: row.text("request_id")?,
        trace_id: row.text("trace_id")?,
        details,
        leaf_hash: row.text("hash")?,
    })
}

fn map(text: Option<String>) -> BTreeMap<String, String> {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
