//! What is erased about a person: clear values, their salts, and the mentions that led to them.
//!
//! A field of `clear_value` that was erased has the value '' and no key in `salts`; one that is empty has a key there. Its
//! commitment in the leaf stays and cannot be opened any more. `actor`, `source_ip`, `user_agent` and `details` go
//! together, and so do `target` and `details`: whatever was erased of an event, its details were.
//! Invariant: a mention goes in the transaction that erases what it led to, so that what is left to do is what is still
//! mentioned.

use super::log::array;
use super::mention::{Kind, ids};
use keywright_storage::{Columns, Db, Dialect, Error, Tx};
use serde_json::{Value, json};

/// An event that mentions a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mentioning {
    /// Its id; empty where the event is no longer there.
    pub event: String,
    /// The position of its intent.
    pub position: i64,
    pub target: String,
}

pub const MENTIONING: &str = "SELECT m.seq, l.event_id, c.target
       FROM (SELECT seq FROM mention WHERE subject = $1 AND kind = $2 AND seq < $3 ORDER BY seq LIMIT $4) AS m
       LEFT JOIN clear_value c ON c.seq = m.seq
       LEFT JOIN leaf l ON l.seq = c.seq
      ORDER BY m.seq";

/// The oldest events that mention the subject before a position.
pub async fn mentioning(
    tx: &mut Tx,
    subject: &str,
    kind: Kind,
    before: i64,
    limit: i64,
) -> Result<Vec<Mentioning>, Error> {
    let rows = sqlx::query(MENTIONING)
        .bind(subject)
        .bind(kind.as_str())
        .bind(before)
        .bind(limit)
        .fetch_all(tx.conn())
        .await?;
    rows.iter()
        .map(|row| {
            let (event, target) = (row.opt_text("event_id")?, row.opt_text("target")?);
            let (event, target) = (event.unwrap_or_default(), target.unwrap_or_default());
            Ok(Mentioning { event, position: row.int("seq")?, target })
        })
        .collect()
}

/// Erases what these events, which mention the subject as `kind`, tell of it.
pub async fn erase(
    tx: &mut Tx,
    dialect: Dialect,
    subject: &str,
    kind: Kind,
    events: &[Mentioning],
) -> Result<(), Error> {
    let is_target = |it: &&Mentioning| kind == Kind::Target || ids(&it.target).contains(subject);
    let mut mentions: Vec<Value> =
        events.iter().map(|it| json!([subject, kind.as_str(), it.position])).collect();
    for it in events.iter().filter(is_target) {
        let gone = ids(&it.target).into_iter().map(|id| json!([id, Kind::Target.as_str(), it.position]));
        mentions.extend(gone);
    }
    if kind == Kind::Actor {
        erase_actors(tx, dialect, events.iter()).await?;
    }
    erase_targets(tx, dialect, events.iter().filter(is_target)).await?;
    forget(tx, dialect, mentions).await
}

fn named<'a>(events: impl Iterator<Item = &'a Mentioning>) -> String {
    array(events.map(|it| json!(it.event)))
}

async fn erase_actors(
    tx: &mut Tx,
    dialect: Dialect,
    events: impl Iterator<Item = &Mentioning>,
) -> Result<(), Error> {
    sqlx::query(match dialect {
        Dialect::Sqlite => {
            "UPDATE clear_value SET actor = '', source_ip = '', user_agent = '', details = '',
                    salts = json_remove(salts, '$.actor', '$.sourceIp', '$.userAgent', '$.details')
              WHERE seq IN (SELECT l.seq FROM json_each($1) AS asked CROSS JOIN leaf l ON l.event_id = asked.value)"
        }
        Dialect::Postgres => {
            "UPDATE clear_value SET actor = '', source_ip = '', user_agent = '', details = '',
                    salts = CAST(CAST(salts AS jsonb) - 'actor' - 'sourceIp' - 'userAgent' - 'details' AS TEXT)
              WHERE seq IN
                    (SELECT l.seq FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS asked(value)
                       JOIN leaf l ON l.event_id = asked.value)"
        }
    })
    .bind(named(events))
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn erase_targets(
    tx: &mut Tx,
    dialect: Dialect,
    events: impl Iterator<Item = &Mentioning>,
) -> Result<(), Error> {
    sqlx::query(match dialect {
        Dialect::Sqlite => {
            "UPDATE clear_value SET target = '', details = '', salts = json_remove(salts, '$.target', '$.details')
              WHERE seq IN (SELECT l.seq FROM json_each($1) AS asked CROSS JOIN leaf l ON l.event_id = asked.value)"
        }
        Dialect::Postgres => {
            "UPDATE clear_value SET target = '', details = '',
                    salts = CAST(CAST(salts AS jsonb) - 'target' - 'details' AS TEXT)
              WHERE seq IN
                    (SELECT l.seq FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS asked(value)
                       JOIN leaf l ON l.event_id = asked.value)"
        }
    })
    .bind(named(events))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// `mentions` are subject, kind and position.
async fn forget(tx: &mut Tx, dialect: Dialect, mentions: Vec<Value>) -> Result<(), Error> {
    sqlx::query(match dialect {
        Dialect::Sqlite => {
            "DELETE FROM mention WHERE (subject, kind, seq) IN
                    (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))"
        }
        Dialect::Postgres => {
            "DELETE FROM mention WHERE (subject, kind, seq) IN
                    (SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS BIGINT)
                       FROM jsonb_array_elements(CAST($1 AS jsonb)))"
        }
    })
    .bind(array(mentions.into_iter()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Leaves nothing of what was erased in SQLite's write-ahead log; its pages are overwritten (`secure_delete`). PostgreSQL
/// recycles what it keeps by itself.
pub async fn scrub(db: &Db) -> Result<(), Error> {
    if db.dialect() == Dialect::Sqlite {
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(db.read()).await?;
    }
    Ok(())
}

/// Alerts keep that there was something, not whom it was about, nor who acknowledged it.
pub async fn erase_alerts(tx: &mut Tx, subject: &str) -> Result<(), Error> {
    sqlx::query("UPDATE alert SET subject = '' WHERE subject = $1").bind(subject).execute(tx.conn()).await?;
    sqlx::query("DELETE FROM alert_tally WHERE subject = $1").bind(subject).execute(tx.conn()).await?;
    sqlx::query("UPDATE alert SET acknowledged_by = '' WHERE acknowledged_by = $1")
        .bind(subject)
        .execute(tx.conn())
        .await?;
    Ok(())
}
