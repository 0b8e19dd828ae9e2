//! Events: intent and outcome joined, with their clear values where these were not erased.

use super::log::array;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_storage::{Columns, Db, Dialect, Error, Tx};
use serde_json::json;
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

impl Event {
    /// Whether the text stands in the action, target, comment, reason, or in the name or value of a detail. Letters of
    /// ASCII are alike in both cases, all else is as it is written: so it is the same on every database.
    pub fn holds(&self, text: &str) -> bool {
        let sought = text.to_ascii_lowercase();
        let shown = [&self.action, &self.target, &self.comment, &self.reason];
        let details = self.details.iter().flat_map(|(name, value)| [name, value]);
        shown.into_iter().chain(details).any(|field| field.to_ascii_lowercase().contains(&sought))
    }
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
    /// Exactly this principal.
    pub actor: String,
    pub action: String,
    /// Exactly this id, among those of the target.
    pub target: String,
    pub outcome: String,
    pub from: Option<Instant>,
    pub until: Option<Instant>,
    /// In the action, target, comment, reason or a detail; see [`Event::holds`].
    pub text: String,
}

/// How an event stands.
pub struct Standing {
    /// The position of its intent.
    pub intent: i64,
    /// Empty where the event is retired.
    pub outcome: String,
    /// Whether the details of its intent were erased: those of its outcome are not kept then.
    pub erased: bool,
}

/// How the events that are known stand, by id.
pub async fn standing(
    tx: &mut Tx,
    dialect: Dialect,
    events: &[&str],
) -> Result<Vec<(String, Standing)>, Error> {
    // Each is looked up by itself: a plan that was made while the log was small would read it whole later.
    let rows = sqlx::query(match dialect {
        Dialect::Sqlite => {
            "SELECT i.event_id, i.seq, e.outcome, c.details
               FROM json_each($1) AS asked
              CROSS JOIN leaf i ON i.event_id = asked.value AND i.kind = 'intent'
               LEFT JOIN event e ON e.seq = i.seq
               LEFT JOIN clear_value c ON c.seq = i.seq AND c.details = ''"
        }
        Dialect::Postgres => {
            "SELECT i.event_id, i.seq, e.outcome, c.details
               FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS asked(value)
              CROSS JOIN LATERAL
                    (SELECT event_id, seq FROM leaf WHERE event_id = asked.value AND kind = 'intent' LIMIT 1) AS i
               LEFT JOIN LATERAL (SELECT outcome FROM event WHERE seq = i.seq LIMIT 1) AS e ON true
               LEFT JOIN LATERAL (SELECT details FROM clear_value WHERE seq = i.seq AND details = '' LIMIT 1) AS c ON true"
        }
    })
    .bind(array(events.iter().map(|event| json!(event))))
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            let erased = row.opt_text::<String>("details")?.is_some();
            let outcome = row.opt_text("outcome")?.unwrap_or_default();
            Ok((row.text("event_id")?, Standing { intent: row.int("seq")?, outcome, erased }))
        })
        .collect()
}

/// An event that has ended, with the positions of its intent and of its outcome.
pub struct Closed<'a> {
    pub intent: i64,
    pub position: i64,
    pub outcome: &'a str,
    pub reason: &'a str,
}

/// Of one event there is one at most. One that was retired meanwhile is no longer there to be closed: once more, and it is
/// seen to be so.
pub async fn close(tx: &mut Tx, dialect: Dialect, at: Instant, closed: &[Closed<'_>]) -> Result<(), Error> {
    if closed.is_empty() {
        return Ok(());
    }
    let rows =
        closed.iter().map(|end| json!([end.intent, end.position, at.micros(), end.outcome, end.reason]));
    let done = sqlx::query(match dialect {
        Dialect::Sqlite => {
            "UPDATE event SET outcome_seq = value ->> 1, finished_at = value ->> 2, outcome = value ->> 3,
                    reason = value ->> 4
               FROM json_each($1) WHERE seq = value ->> 0"
        }
        Dialect::Postgres => {
            "UPDATE event SET outcome_seq = CAST(value ->> 1 AS BIGINT), finished_at = CAST(value ->> 2 AS BIGINT),
                    outcome = value ->> 3, reason = value ->> 4
               FROM jsonb_array_elements(CAST($1 AS jsonb)) WHERE seq = CAST(value ->> 0 AS BIGINT)"
        }
    })
    // Planned each time: see `standing`.
    .persistent(false)
    .bind(array(rows))
    .execute(tx.conn())
    .await?;
    if usize::try_from(done.rows_affected()).is_ok_and(|rows| rows == closed.len()) {
        Ok(())
    } else {
        Err(Error::Again(sqlx::Error::RowNotFound))
    }
}

/// Events still pending that began before `before`.
pub async fn pending_since(db: &Db, before: Instant) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT l.event_id FROM event e JOIN leaf l ON l.seq = e.seq
          WHERE e.outcome = 'pending' AND e.recorded_at < $1 ORDER BY e.seq LIMIT 100",
    )
    .bind(before.micros())
    .fetch_all(db.read())
    .await?;
    rows.iter().map(|row| row.text("event_id")).collect()
}

pub async fn get(db: &Db, event: &str) -> Result<Option<Event>, Error> {
    let row = sqlx::query(
        "SELECT l.event_id, e.seq, e.outcome_seq, e.recorded_at, e.finished_at, e.actor_kind, e.tenant_id, e.action,
                e.outcome, e.reason, e.comment_text, e.request_id, e.trace_id, l.hash, c.actor, c.source_ip, c.user_agent, c.target,
                c.details, o.details AS outcome_details
           FROM leaf l
           JOIN event e ON e.seq = l.seq
           LEFT JOIN clear_value c ON c.seq = e.seq
           LEFT JOIN clear_value o ON o.seq = e.outcome_seq
          WHERE l.event_id = $1 AND l.kind = 'intent'",
    )
    .bind(event)
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

pub(super) fn read(row: &AnyRow) -> Result<Event, Error> {
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

/// Where an event's intent stands, and whose it is.
pub async fn position(db: &Db, event: &str) -> Result<Option<(i64, Option<TenantId>)>, Error> {
    let row = sqlx::query(
        "SELECT e.seq, e.tenant_id FROM leaf l JOIN event e ON e.seq = l.seq WHERE l.event_id = $1 AND l.kind = 'intent'",
    )
    .bind(event)
    .fetch_optional(db.read())
    .await?;
    row.map(|row| {
        let tenant: String = row.text("tenant_id")?;
        Ok((row.int("seq")?, TenantId::parse(&tenant).ok()))
    })
    .transpose()
}

/// Events whose intents stand from `from` on and before `until`, oldest first; of one tenant, or of all.
pub async fn ascending(
    db: &Db,
    tenant: &str,
    from: i64,
    until: i64,
    limit: i64,
) -> Result<Vec<Event>, Error> {
    let rows = sqlx::query(
        "SELECT l.event_id, e.seq, e.outcome_seq, e.recorded_at, e.finished_at, e.actor_kind, e.tenant_id, e.action,
                e.outcome, e.reason, e.comment_text, e.request_id, e.trace_id, l.hash, c.actor, c.source_ip, c.user_agent, c.target,
                c.details, o.details AS outcome_details
           FROM event e
           JOIN leaf l ON l.seq = e.seq
           LEFT JOIN clear_value c ON c.seq = e.seq
           LEFT JOIN clear_value o ON o.seq = e.outcome_seq
          WHERE e.seq >= $1 AND e.seq < $2 AND ($3 = '' OR e.tenant_id = $3)
          ORDER BY e.seq LIMIT $4",
    )
    .bind(from)
    .bind(until)
    .bind(tenant)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}
