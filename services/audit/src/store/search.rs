//! Where events stand: positions from an index, newest first, and the events at given positions.
//!
//! Invariant: a statement that walks the log reads nothing but one index in the order of positions, and what it reads is
//! bounded; everything else that narrows a list is asked of the few positions that it gave.

use super::event::{Event, Filter, read};
use super::log::array;
use keywright_domain::clock::Instant;
use keywright_storage::{Columns, Db, Dialect, Error};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Times follow positions but for a clock that was set back, by this much at most.
pub const SLACK: Duration = Duration::from_secs(60 * 60);

/// Positions from `from` on and before `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: i64,
    pub before: i64,
}

/// An index that leads to events, with the value that is looked up in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'a> {
    Actor(&'a str),
    Target(&'a str),
    Tenant(&'a str),
    Action(&'a str),
    Outcome(&'a str),
    Position,
}

// $1 and $2 bound the positions, $3 how many, $4 is the value.
pub const BY_ACTOR: &str =
    "SELECT seq FROM mention WHERE subject = $4 AND kind = 'actor' AND seq < $1 AND seq >= $2
          ORDER BY seq DESC LIMIT $3";
pub const BY_TARGET: &str =
    "SELECT seq FROM mention WHERE subject = $4 AND kind = 'target' AND seq < $1 AND seq >= $2
          ORDER BY seq DESC LIMIT $3";
pub const BY_TENANT: &str =
    "SELECT seq FROM event WHERE tenant_id = $4 AND seq < $1 AND seq >= $2 ORDER BY seq DESC LIMIT $3";
pub const BY_ACTION: &str =
    "SELECT seq FROM event WHERE action = $4 AND seq < $1 AND seq >= $2 ORDER BY seq DESC LIMIT $3";
pub const BY_OUTCOME: &str =
    "SELECT seq FROM event WHERE outcome = $4 AND seq < $1 AND seq >= $2 ORDER BY seq DESC LIMIT $3";
pub const BY_POSITION: &str = "SELECT seq FROM event WHERE seq < $1 AND seq >= $2 ORDER BY seq DESC LIMIT $3";

/// The newest positions of the range that the index has, newest first.
pub async fn positions(db: &Db, way: Way<'_>, range: Range, limit: i64) -> Result<Vec<i64>, Error> {
    let query = sqlx::query(match way {
        Way::Actor(_) => BY_ACTOR,
        Way::Target(_) => BY_TARGET,
        Way::Tenant(_) => BY_TENANT,
        Way::Action(_) => BY_ACTION,
        Way::Outcome(_) => BY_OUTCOME,
        Way::Position => BY_POSITION,
    });
    // Planned for this value: what is rare is walked in another way than what is frequent.
    let query = query.persistent(false).bind(range.before).bind(range.from).bind(limit);
    let query = match way {
        Way::Actor(value)
        | Way::Target(value)
        | Way::Tenant(value)
        | Way::Action(value)
        | Way::Outcome(value) => query.bind(value),
        Way::Position => query,
    };
    let rows = query.fetch_all(db.read()).await?;
    rows.iter().map(|row| row.int("seq")).collect()
}

pub const BEFORE: &str =
    "SELECT seq FROM event WHERE recorded_at < $1 ORDER BY recorded_at DESC, seq DESC LIMIT 1";

/// The position of the last event that was recorded before `at`.
async fn before(db: &Db, at: Instant) -> Result<Option<i64>, Error> {
    let row = sqlx::query(BEFORE).bind(at.micros()).fetch_optional(db.read()).await?;
    row.map(|row| row.int("seq")).transpose()
}

/// Where events between two instants stand: no narrower than they do, unless a clock was set back by more than [`SLACK`].
pub async fn range(
    db: &Db,
    from: Option<Instant>,
    until: Option<Instant>,
    below: i64,
) -> Result<Range, Error> {
    let mut range = Range { from: 0, before: below };
    if let Some(from) = from {
        range.from = before(db, from.minus(SLACK)).await?.map_or(0, |seq| seq.saturating_add(1));
    }
    // What is yet to come bounds nothing.
    if let Some(until) = until
        && until < db.now().await?
    {
        let last = before(db, until.plus(SLACK)).await?;
        range.before = below.min(last.map_or(0, |seq| seq.saturating_add(1)));
    }
    Ok(range)
}

// No bare column is compared with a value: the positions lead to the events, and no index that a planner with old
// statistics takes for a better one.
pub const AT_ON_SQLITE: &str =
    "SELECT l.event_id, e.seq, e.outcome_seq, e.recorded_at, e.finished_at, e.actor_kind, e.tenant_id, e.action,
            e.outcome, e.reason, e.comment_text, e.request_id, e.trace_id, l.hash, c.actor, c.source_ip, c.user_agent,
            c.target, c.details, o.details AS outcome_details
       FROM json_each($1) AS asked
      CROSS JOIN event e ON e.seq = asked.value
       LEFT JOIN mention a ON a.subject = $7 AND a.kind = 'actor' AND a.seq = e.seq
       LEFT JOIN mention t ON t.subject = $8 AND t.kind = 'target' AND t.seq = e.seq
       JOIN leaf l ON l.seq = e.seq
       LEFT JOIN clear_value c ON c.seq = e.seq
       LEFT JOIN clear_value o ON o.seq = e.outcome_seq
      WHERE ($2 = '' OR e.tenant_id || '' = $2) AND ($3 = '' OR e.action || '' = $3) AND ($4 = '' OR e.outcome || '' = $4)
        AND e.recorded_at + 0 >= $5 AND e.recorded_at + 0 < $6
        AND ($7 = '' OR a.seq IS NOT NULL) AND ($8 = '' OR t.seq IS NOT NULL)
      ORDER BY e.seq DESC LIMIT $9";
pub const AT_ON_POSTGRES: &str =
    "SELECT l.event_id, e.seq, e.outcome_seq, e.recorded_at, e.finished_at, e.actor_kind, e.tenant_id, e.action,
            e.outcome, e.reason, e.comment_text, e.request_id, e.trace_id, l.hash, c.actor, c.source_ip, c.user_agent,
            c.target, c.details, o.details AS outcome_details
       FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS asked(value)
       JOIN event e ON e.seq = CAST(asked.value AS BIGINT)
       LEFT JOIN mention a ON a.subject = $7 AND a.kind = 'actor' AND a.seq = e.seq
       LEFT JOIN mention t ON t.subject = $8 AND t.kind = 'target' AND t.seq = e.seq
       JOIN leaf l ON l.seq = e.seq
       LEFT JOIN clear_value c ON c.seq = e.seq
       LEFT JOIN clear_value o ON o.seq = e.outcome_seq
      WHERE ($2 = '' OR e.tenant_id || '' = $2) AND ($3 = '' OR e.action || '' = $3) AND ($4 = '' OR e.outcome || '' = $4)
        AND e.recorded_at + 0 >= $5 AND e.recorded_at + 0 < $6
        AND ($7 = '' OR a.seq IS NOT NULL) AND ($8 = '' OR t.seq IS NOT NULL)
      ORDER BY e.seq DESC LIMIT $9";

/// Of the events at these positions the newest `limit` that the filter lets through, newest first; its text is not
/// looked for.
pub async fn at(db: &Db, filter: &Filter, positions: &[i64], limit: i64) -> Result<Vec<Event>, Error> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(match db.dialect() {
        Dialect::Sqlite => AT_ON_SQLITE,
        Dialect::Postgres => AT_ON_POSTGRES,
    })
    .persistent(false)
    .bind(array(positions.iter().map(|position| json!(position))))
    .bind(&filter.tenant)
    .bind(&filter.action)
    .bind(&filter.outcome)
    .bind(filter.from.map_or(i64::MIN, Instant::micros))
    .bind(filter.until.map_or(i64::MAX, Instant::micros))
    .bind(&filter.actor)
    .bind(&filter.target)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

pub const ENTERED: &str = "SELECT intent_seq FROM leaf WHERE seq >= $1 AND seq < $2";

/// The events that have an entry in the range, by the positions of their intents, in their order.
pub async fn entered(db: &Db, range: Range) -> Result<Vec<i64>, Error> {
    let rows = sqlx::query(ENTERED).bind(range.from).bind(range.before).fetch_all(db.read()).await?;
    let positions: Result<BTreeSet<i64>, Error> = rows.iter().map(|row| row.int("intent_seq")).collect();
    Ok(positions?.into_iter().collect())
}
