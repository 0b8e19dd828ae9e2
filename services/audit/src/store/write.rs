//! The rows that one write adds: on PostgreSQL one statement, on SQLite, where a statement costs no way, one for each table.
//!
//! Invariant: everything about an entry stands under its position; a leaf's id is the only random key.

use super::event::Open;
use super::log::Kind;
use super::mention;
use keywright_domain::clock::Instant;
use keywright_log::leaf::{Clear, Leaf};
use keywright_storage::{Dialect, Error, Tx};
use serde::Serialize;

/// A leaf at its position.
pub struct NewLeaf<'a> {
    pub position: i64,
    /// The position of the intent of its event.
    pub intent: i64,
    pub event: &'a str,
    pub kind: Kind,
    pub leaf: Leaf,
    /// What stands as commitments; none of it is kept of what was erased before it came: see `erasure`.
    pub committed: Option<Committed<'a>>,
}

/// The clear values of a leaf, with the canonical JSON of its details and of its salts.
#[derive(Clone, Copy)]
pub struct Committed<'a> {
    pub clear: &'a Clear,
    pub details: &'a str,
    pub salts: &'a str,
}

/// An event that begins, at the position of its intent.
pub struct Opened<'a> {
    pub position: i64,
    pub open: &'a Open,
    pub clear: &'a Clear,
}

/// Appends leaves, their clear values and the events that begin with them; afterwards the log has `size` leaves.
pub async fn append(
    tx: &mut Tx,
    dialect: Dialect,
    at: Instant,
    leaves: &[NewLeaf<'_>],
    opened: &[Opened<'_>],
    size: i64,
) -> Result<(), Error> {
    let mentions = opened.iter().flat_map(|new| {
        let of = mention::of(&new.clear.actor, &new.clear.target);
        of.into_iter().map(|(kind, subject)| (subject, new.position, kind.as_str()))
    });
    let leaf_rows = json(leaves.iter().map(|new| leaf(new, at)))?;
    let clear_rows = json(leaves.iter().map(clear_values))?;
    let event_rows = json(opened.iter().map(|new| event(new, at)))?;
    let mention_rows = json(mentions)?;
    match dialect {
        Dialect::Postgres => {
            sqlx::query(ON_POSTGRES)
                .bind(leaf_rows)
                .bind(clear_rows)
                .bind(event_rows)
                .bind(mention_rows)
                .bind(size)
                .execute(tx.conn())
                .await?;
        }
        Dialect::Sqlite => {
            sqlx::query(LEAVES_ON_SQLITE).bind(leaf_rows).execute(tx.conn()).await?;
            sqlx::query(CLEAR_VALUES_ON_SQLITE).bind(clear_rows).execute(tx.conn()).await?;
            if !opened.is_empty() {
                sqlx::query(EVENTS_ON_SQLITE).bind(event_rows).execute(tx.conn()).await?;
                sqlx::query(MENTIONS_ON_SQLITE).bind(mention_rows).execute(tx.conn()).await?;
            }
            sqlx::query("UPDATE head SET size = $1 WHERE id = 'log'").bind(size).execute(tx.conn()).await?;
        }
    }
    Ok(())
}

const LEAVES_ON_SQLITE: &str = "INSERT INTO leaf (seq, intent_seq, event_id, kind, bytes, hash, recorded_at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS BLOB), value ->> 5, value ->> 6
       FROM json_each($1)";

const CLEAR_VALUES_ON_SQLITE: &str =
    "INSERT INTO clear_value (seq, actor, source_ip, user_agent, target, details, salts)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
       FROM json_each($1)";

const EVENTS_ON_SQLITE: &str =
    "INSERT INTO event (seq, recorded_at, actor_kind, tenant_id, action, outcome, reason, comment_text, request_id, trace_id)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, 'pending', '', value ->> 5, value ->> 6,
            value ->> 7
       FROM json_each($1)";

const MENTIONS_ON_SQLITE: &str = "INSERT INTO mention (subject, seq, kind) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)";

const ON_POSTGRES: &str =
    "WITH leaves AS (
        INSERT INTO leaf (seq, intent_seq, event_id, kind, bytes, hash, recorded_at)
        SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), value ->> 2, value ->> 3,
               convert_to(value ->> 4, 'UTF8'), value ->> 5, CAST(value ->> 6 AS BIGINT)
          FROM jsonb_array_elements(CAST($1 AS jsonb))
     ), clear_values AS (
        INSERT INTO clear_value (seq, actor, source_ip, user_agent, target, details, salts)
        SELECT CAST(value ->> 0 AS BIGINT), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
          FROM jsonb_array_elements(CAST($2 AS jsonb))
     ), events AS (
        INSERT INTO event (seq, recorded_at, actor_kind, tenant_id, action, outcome, reason, comment_text, request_id,
                           trace_id)
        SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), value ->> 2, value ->> 3, value ->> 4, 'pending',
               '', value ->> 5, value ->> 6, value ->> 7
          FROM jsonb_array_elements(CAST($3 AS jsonb))
     ), mentions AS (
        INSERT INTO mention (subject, seq, kind)
        SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), value ->> 2 FROM jsonb_array_elements(CAST($4 AS jsonb))
     )
     UPDATE head SET size = $5 WHERE id = 'log'";

/// Rows as both databases take a list: one JSON text.
fn json(rows: impl Iterator<Item = impl Serialize>) -> Result<String, Error> {
    serde_json::to_string(&rows.collect::<Vec<_>>()).map_err(|error| Error::Corrupt(error.to_string()))
}

fn leaf<'a>(new: &'a NewLeaf<'_>, at: Instant) -> impl Serialize + 'a {
    let (leaf, kind) = (&new.leaf, new.kind.as_str());
    (new.position, new.intent, new.event, kind, leaf.text.as_str(), leaf.hash.hex(), at.micros())
}

fn clear_values<'a>(new: &'a NewLeaf<'_>) -> impl Serialize + 'a {
    let none = ("", "", "", "", "", "{}");
    let kept = new.committed.as_ref().map(|it| {
        let Clear { actor, source_ip, user_agent, target, .. } = it.clear;
        (actor.as_str(), source_ip.as_str(), user_agent.as_str(), target.as_str(), it.details, it.salts)
    });
    let (actor, source_ip, user_agent, target, details, salts) = kept.unwrap_or(none);
    (new.position, actor, source_ip, user_agent, target, details, salts)
}

fn event<'a>(new: &'a Opened<'_>, at: Instant) -> impl Serialize + 'a {
    let Open { actor_kind, tenant, action, comment, request_id, trace_id } = new.open;
    (new.position, at.micros(), actor_kind, tenant, action, comment, request_id, trace_id)
}
