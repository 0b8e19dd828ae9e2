//! Rules, as operators made or changed them: JSON, since nobody searches in it.

use crate::alerting::built_in;
use crate::alerting::hours::Hours;
use crate::alerting::rule::{Actors, Ending, Rule, Subject};
use keywright_storage::{Columns, Db, Error, Tx};
use serde_json::{Value, json};
use sqlx::AnyConnection;
use std::time::Duration;

/// Those that Keywright brings, with what operators changed, then the operators' own in the order of their names.
pub async fn all(conn: &mut AnyConnection) -> Result<Vec<Rule>, Error> {
    let rows =
        sqlx::query("SELECT rule_id, definition FROM alert_rule ORDER BY rule_id").fetch_all(conn).await?;
    let (mut rules, mut own) = (built_in::all(), Vec::new());
    for row in &rows {
        let (id, definition): (String, String) = (row.text("rule_id")?, row.text("definition")?);
        let known = rules.iter_mut().find(|rule| rule.id == id);
        let corrupt = || Error::Corrupt("definition".to_owned());
        let definition: Value = serde_json::from_str(&definition).map_err(|_| corrupt())?;
        match known {
            Some(rule) => change(rule, &definition).ok_or_else(corrupt)?,
            None => own.push(read(id, &definition).ok_or_else(corrupt)?),
        }
    }
    rules.append(&mut own);
    Ok(rules)
}

/// Outside of a transaction.
pub async fn list(db: &Db) -> Result<Vec<Rule>, Error> {
    all(&mut *db.read().acquire().await?).await
}

/// Of operators.
pub async fn count_own(tx: &mut Tx) -> Result<i64, Error> {
    let rules = all(tx.conn()).await?;
    Ok(i64::try_from(rules.iter().filter(|rule| !rule.built_in).count()).unwrap_or(i64::MAX))
}

pub async fn put(tx: &mut Tx, rule: &Rule) -> Result<(), Error> {
    let at = tx.now().micros();
    sqlx::query(
        "INSERT INTO alert_rule (rule_id, definition, changed_at) VALUES ($1, $2, $3)
         ON CONFLICT (rule_id) DO UPDATE SET definition = excluded.definition, changed_at = excluded.changed_at",
    )
    .bind(&rule.id)
    .bind(written(rule).to_string())
    .bind(at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether it was there.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<bool, Error> {
    let done = sqlx::query("DELETE FROM alert_rule WHERE rule_id = $1").bind(id).execute(tx.conn()).await?;
    Ok(done.rows_affected() == 1)
}

/// Whether an operator made it or changed it.
pub async fn is_stored(db: &Db, id: &str) -> Result<bool, Error> {
    let row = sqlx::query("SELECT rule_id FROM alert_rule WHERE rule_id = $1").bind(id);
    Ok(row.fetch_optional(db.read()).await?.is_some())
}

fn written(rule: &Rule) -> Value {
    let mut definition = json!({
        "threshold": rule.threshold,
        "windowSeconds": rule.window.as_secs(),
        "disabled": rule.disabled,
    });
    if let Some(all) = definition.as_object_mut().filter(|_| !rule.built_in) {
        let endings: Vec<&str> = rule.endings.iter().map(|ending| ending.as_str()).collect();
        all.insert("description".to_owned(), json!(rule.description));
        all.insert("actions".to_owned(), json!(rule.actions));
        all.insert("outcomes".to_owned(), json!(endings));
        all.insert("reasons".to_owned(), json!(rule.reasons));
        all.insert("subject".to_owned(), json!(rule.subject.as_str()));
        all.insert("hours".to_owned(), json!(rule.hours.map(|hours| hours.to_string()).unwrap_or_default()));
    }
    definition
}

fn change(rule: &mut Rule, definition: &Value) -> Option<()> {
    rule.threshold = definition.get("threshold")?.as_i64()?;
    rule.window = Duration::from_secs(definition.get("windowSeconds")?.as_u64()?);
    rule.disabled = definition.get("disabled")?.as_bool()?;
    Some(())
}

fn read(id: String, definition: &Value) -> Option<Rule> {
    let text = |name: &str| definition.get(name)?.as_str();
    let list = |name: &str| {
        let texts = definition.get(name)?.as_array()?.iter();
        texts.map(|text| text.as_str().map(ToOwned::to_owned)).collect::<Option<Vec<String>>>()
    };
    let endings = list("outcomes")?;
    let hours = text("hours")?;
    let mut rule = Rule {
        id,
        description: text("description")?.to_owned(),
        actions: list("actions")?,
        endings: endings.iter().map(|ending| Ending::parse(ending)).collect::<Option<_>>()?,
        reasons: list("reasons")?,
        subject: Subject::parse(text("subject")?)?,
        actors: Actors::All,
        threshold: 0,
        window: Duration::ZERO,
        hours: if hours.is_empty() { None } else { Some(Hours::parse(hours)?) },
        disabled: false,
        built_in: false,
    };
    change(&mut rule, definition)?;
    Some(rule)
}
