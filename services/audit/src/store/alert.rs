//! Alerts, in the order in which they were raised.

use super::watch::asked;
use crate::alerting::alert::{Alert, State};
use crate::alerting::watch::Key;
use keywright_domain::clock::Instant;
use keywright_storage::{Columns, Db, Dialect, Error, Tx};
use sqlx::any::AnyRow;

/// What a list is narrowed to; empty means all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub tenant: String,
    pub state: String,
    pub rule: String,
}

pub async fn find(db: &Db, id: &str) -> Result<Option<Alert>, Error> {
    let row = sqlx::query(
        "SELECT alert_id, number, rule_id, description, tenant_id, subject_kind, subject, times, raised_at, last_at, event_id,
                state, acknowledged_by, acknowledged_at, comment_text
           FROM alert WHERE alert_id = $1",
    )
    .bind(id)
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

/// Those before number `before`, newest first.
pub async fn list(db: &Db, filter: &Filter, before: i64, limit: i64) -> Result<Vec<Alert>, Error> {
    let rows = sqlx::query(
        "SELECT alert_id, number, rule_id, description, tenant_id, subject_kind, subject, times, raised_at, last_at, event_id,
                state, acknowledged_by, acknowledged_at, comment_text
           FROM alert
          WHERE number < $1
            AND ($2 = '' OR tenant_id = $2)
            AND ($3 = '' OR state = $3)
            AND ($4 = '' OR rule_id = $4)
          ORDER BY number DESC LIMIT $5",
    )
    .bind(before)
    .bind(&filter.tenant)
    .bind(&filter.state)
    .bind(&filter.rule)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

/// The open ones of these rules and subjects whose last event was after `since`, oldest first.
pub async fn open(tx: &mut Tx, dialect: Dialect, keys: &[Key], since: Instant) -> Result<Vec<Alert>, Error> {
    let rows = sqlx::query(match dialect {
        Dialect::Sqlite => {
            "SELECT a.alert_id, a.number, a.rule_id, a.description, a.tenant_id, a.subject_kind, a.subject, a.times, a.raised_at,
                    a.last_at, a.event_id, a.state, a.acknowledged_by, a.acknowledged_at, a.comment_text
               FROM json_each($1) AS asked
               JOIN alert a ON a.rule_id = asked.value ->> 0 AND a.subject = asked.value ->> 1
              WHERE a.state = 'open' AND a.last_at > $2
              ORDER BY a.number"
        }
        Dialect::Postgres => {
            "SELECT a.alert_id, a.number, a.rule_id, a.description, a.tenant_id, a.subject_kind, a.subject, a.times, a.raised_at,
                    a.last_at, a.event_id, a.state, a.acknowledged_by, a.acknowledged_at, a.comment_text
               FROM jsonb_array_elements(CAST($1 AS jsonb)) AS asked(value)
               JOIN alert a ON a.rule_id = asked.value ->> 0 AND a.subject = asked.value ->> 1
              WHERE a.state = 'open' AND a.last_at > $2
              ORDER BY a.number"
        }
    })
    .bind(asked(keys))
    .bind(since.micros())
    .fetch_all(tx.conn())
    .await?;
    rows.iter().map(read).collect()
}

/// How many nobody has acknowledged.
pub async fn count_open(db: &Db) -> Result<u64, Error> {
    let row =
        sqlx::query("SELECT COUNT(*) AS n FROM alert WHERE state = 'open'").fetch_one(db.read()).await?;
    let count: i64 = row.int("n")?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// At the end of all.
pub async fn insert(tx: &mut Tx, alert: &Alert) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO alert (alert_id, number, rule_id, description, tenant_id, subject_kind, subject, times, raised_at, last_at,
                            event_id, state, acknowledged_by, comment_text)
         VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM alert), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(alert.id.as_str())
    .bind(&alert.rule)
    .bind(&alert.description)
    .bind(&alert.tenant)
    .bind(alert.subject_kind.as_str())
    .bind(&alert.subject)
    .bind(alert.times)
    .bind(alert.raised_at.micros())
    .bind(alert.last_at.micros())
    .bind(&alert.event)
    .bind(alert.state.as_str())
    .bind(&alert.acknowledged_by)
    .bind(&alert.comment)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn grow(tx: &mut Tx, alert: &Alert) -> Result<(), Error> {
    sqlx::query("UPDATE alert SET times = $2, last_at = $3 WHERE alert_id = $1")
        .bind(alert.id.as_str())
        .bind(alert.times)
        .bind(alert.last_at.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// One that is acknowledged already stays as it is.
pub async fn acknowledge(tx: &mut Tx, id: &str, by: &str, comment: &str) -> Result<(), Error> {
    let at = tx.now().micros();
    sqlx::query(
        "UPDATE alert SET state = 'acknowledged', acknowledged_by = $2, acknowledged_at = $3, comment_text = $4
          WHERE alert_id = $1 AND state = 'open'",
    )
    .bind(id)
    .bind(by)
    .bind(at)
    .bind(comment)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Those that nobody was told of, oldest first.
pub async fn untold(db: &Db, limit: i64) -> Result<Vec<Alert>, Error> {
    let rows = sqlx::query(
        "SELECT alert_id, number, rule_id, description, tenant_id, subject_kind, subject, times, raised_at, last_at, event_id,
                state, acknowledged_by, acknowledged_at, comment_text
           FROM alert WHERE told_at IS NULL ORDER BY number LIMIT $1",
    )
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

pub async fn mark_told(tx: &mut Tx, id: &str) -> Result<(), Error> {
    let at = tx.now().micros();
    sqlx::query("UPDATE alert SET told_at = $2 WHERE alert_id = $1 AND told_at IS NULL")
        .bind(id)
        .bind(at)
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Alert, Error> {
    let state: State = row.text("state")?;
    Ok(Alert {
        id: row.text("alert_id")?,
        number: row.int("number")?,
        rule: row.text("rule_id")?,
        description: row.text("description")?,
        tenant: row.text("tenant_id")?,
        subject_kind: row.text("subject_kind")?,
        subject: row.text("subject")?,
        times: row.int("times")?,
        raised_at: row.int("raised_at")?,
        last_at: row.int("last_at")?,
        event: row.text("event_id")?,
        state,
        acknowledged_by: row.text("acknowledged_by")?,
        acknowledged_at: row.opt_int("acknowledged_at")?,
        comment: row.text("comment_text")?,
    })
}
