//! How far the log was watched, and what was counted on the way.

use super::log::array;
use crate::alerting::rule::Ending;
use crate::alerting::watch::{Entry, Half, Key, Tally};
use keywright_domain::clock::Instant;
use keywright_runtime::quota::source_of;
use keywright_storage::{Columns, Db, Dialect, Error, Tx};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// The position that is looked at next, and how many entries there are.
pub async fn position(db: &Db) -> Result<(i64, i64), Error> {
    let row = sqlx::query(
        "SELECT r.next_seq, h.size FROM reader r CROSS JOIN head h WHERE r.name = 'alerts' AND h.id = 'log'",
    )
    .fetch_one(db.read())
    .await?;
    Ok((row.int("next_seq")?, row.int("size")?))
}

/// Takes the place: whoever counts holds it to the end of his transaction. The position that is looked at next.
pub async fn lock(tx: &mut Tx) -> Result<i64, Error> {
    let at = tx.now().micros();
    let row = sqlx::query("UPDATE reader SET updated_at = $1 WHERE name = 'alerts' RETURNING next_seq")
        .bind(at)
        .fetch_one(tx.conn())
        .await?;
    row.int("next_seq")
}

pub async fn advance(tx: &mut Tx, next: i64) -> Result<(), Error> {
    sqlx::query("UPDATE reader SET next_seq = $1 WHERE name = 'alerts'")
        .bind(next)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Entries from a position on, in the order of the log.
pub async fn entries(db: &Db, from: i64, limit: i64) -> Result<Vec<Entry>, Error> {
    let rows = sqlx::query(
        "SELECT l.seq, l.kind, l.recorded_at, l.event_id, e.actor_kind, e.tenant_id, e.action, e.outcome, e.outcome_seq,
                e.reason, c.actor, c.source_ip, c.target, c.details
           FROM leaf l
           JOIN event e ON e.seq = l.intent_seq
           LEFT JOIN clear_value c ON c.seq = l.intent_seq
          WHERE l.seq >= $1
          ORDER BY l.seq LIMIT $2",
    )
    .bind(from)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &AnyRow) -> Result<Entry, Error> {
    let erased = |value: Option<String>| value.unwrap_or_default();
    let (seq, kind): (i64, String) = (row.int("seq")?, row.text("kind")?);
    let half = match kind.as_str() {
        "intent" => Half::Intent,
        // The event has what was appended later: an outcome that was corrected is an interruption.
        _ if row.opt_int("outcome_seq")? != Some(seq) => {
            Half::Outcome { ending: Ending::Interrupted, reason: String::new() }
        }
        _ => {
            let outcome: String = row.text("outcome")?;
            let ending = Ending::parse(&outcome).ok_or_else(|| Error::Corrupt("outcome".to_owned()))?;
            Half::Outcome { ending, reason: row.text("reason")? }
        }
    };
    Ok(Entry {
        seq,
        at: row.int("recorded_at")?,
        event: row.text("event_id")?,
        half,
        actor: erased(row.opt_text("actor")?),
        actor_kind: row.text("actor_kind")?,
        source: network(erased(row.opt_text("source_ip")?)),
        target: erased(row.opt_text("target")?),
        tenant: row.text("tenant_id")?,
        action: row.text("action")?,
        times: times(row.opt_text("details")?),
    })
}

/// Refusals that were the same within a minute are one entry, which says how many.
fn times(details: Option<String>) -> i64 {
    let Some(details) = details.filter(|text| text.contains("\"repeated\"")) else { return 1 };
    let details: BTreeMap<String, String> = serde_json::from_str(&details).unwrap_or_default();
    details.get("repeated").and_then(|times| times.parse().ok()).unwrap_or(1i64).clamp(1, 1_000_000)
}

pub async fn tallies(tx: &mut Tx, dialect: Dialect, keys: &[Key]) -> Result<Vec<(Key, Tally)>, Error> {
    let rows = sqlx::query(match dialect {
        Dialect::Sqlite => {
            "SELECT t.rule_id, t.subject, t.tenant_id, t.seen
               FROM json_each($1) AS asked
               JOIN alert_tally t ON t.rule_id = asked.value ->> 0 AND t.subject = asked.value ->> 1"
        }
        Dialect::Postgres => {
            "SELECT t.rule_id, t.subject, t.tenant_id, t.seen
               FROM jsonb_array_elements(CAST($1 AS jsonb)) AS asked(value)
               JOIN alert_tally t ON t.rule_id = asked.value ->> 0 AND t.subject = asked.value ->> 1"
        }
    })
    .bind(asked(keys))
    .fetch_all(tx.conn())
    .await?;
    let tally = |row: &AnyRow| {
        let seen: String = row.text("seen")?;
        let seen = serde_json::from_str(&seen).map_err(|_| Error::Corrupt("seen".to_owned()))?;
        let key = (row.text("rule_id")?, row.text("subject")?);
        Ok((key, Tally::new(row.text("tenant_id")?, seen)))
    };
    rows.iter().map(tally).collect()
}

/// The keys of rules and subjects as one parameter.
pub fn asked(keys: &[Key]) -> String {
    array(keys.iter().map(|(rule, subject)| json!([rule, subject])))
}

/// With when each ends; those that have ended by `now` are forgotten.
pub async fn save(
    tx: &mut Tx,
    dialect: Dialect,
    tallies: &[(Key, Tally, Instant)],
    now: Instant,
) -> Result<(), Error> {
    let rows = tallies.iter().map(|((rule, subject), tally, until)| {
        let seen = Value::from_iter(tally.seen().map(|(at, times)| json!([at, times]))).to_string();
        json!([rule, subject, tally.tenant(), seen, until.micros()])
    });
    sqlx::query(match dialect {
        Dialect::Sqlite => {
            "INSERT INTO alert_tally (rule_id, subject, tenant_id, seen, until_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each($1) WHERE true
             ON CONFLICT (rule_id, subject)
             DO UPDATE SET tenant_id = excluded.tenant_id, seen = excluded.seen, until_at = excluded.until_at"
        }
        Dialect::Postgres => {
            "INSERT INTO alert_tally (rule_id, subject, tenant_id, seen, until_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS BIGINT)
               FROM jsonb_array_elements(CAST($1 AS jsonb)) WHERE true
             ON CONFLICT (rule_id, subject)
             DO UPDATE SET tenant_id = excluded.tenant_id, seen = excluded.seen, until_at = excluded.until_at"
        }
    })
    .bind(array(rows))
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM alert_tally WHERE until_at <= $1").bind(now.micros()).execute(tx.conn()).await?;
    Ok(())
}

/// What was counted for a rule that counts so no more.
pub async fn forget(tx: &mut Tx, rule: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM alert_tally WHERE rule_id = $1").bind(rule).execute(tx.conn()).await?;
    Ok(())
}

/// What counts as one source: of IPv6 a whole network, which one attacker has to himself.
fn network(address: String) -> String {
    address.parse().map_or(address, source_of)
}
