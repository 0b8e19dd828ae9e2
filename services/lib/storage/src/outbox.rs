//! What a transaction owes the audit log: outcomes, and intents that a revocation had to spool. Delivered in order,
//! at least once; the log deduplicates by event id.

use crate::{Columns, Db, Error, Outcome, Tx};
use keywright_domain::ids::EventId;

/// What is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owed {
    /// A spooled intent, in the form that the runtime's audit client wrote.
    Intent(Vec<u8>),
    Outcome(Outcome),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub event: EventId,
    pub owed: Owed,
}

pub(crate) async fn put_intent(tx: &mut Tx, event: &EventId, record: &[u8]) -> Result<(), Error> {
    put(tx, event, "intent", record).await
}

pub(crate) async fn put_outcome(tx: &mut Tx, event: &EventId, outcome: &Outcome) -> Result<(), Error> {
    put(tx, event, "outcome", &encode(outcome)).await
}

async fn put(tx: &mut Tx, event: &EventId, kind: &str, payload: &[u8]) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO outbox (id, event_id, kind, payload, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(format!("{event}/{kind}"))
    .bind(event.as_str())
    .bind(kind)
    .bind(payload)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The oldest entries, intents before the outcomes of the same instant.
pub async fn oldest(db: &Db, limit: i64) -> Result<Vec<Entry>, Error> {
    let rows =
        sqlx::query("SELECT id, event_id, kind, payload FROM outbox ORDER BY created_at, kind, id LIMIT $1")
            .bind(limit)
            .fetch_all(db.read())
            .await?;
    rows.iter()
        .map(|row| {
            let payload = row.blob("payload")?;
            let owed = match row.text::<String>("kind")?.as_str() {
                "intent" => Owed::Intent(payload),
                _ => Owed::Outcome(decode(&payload).ok_or_else(|| Error::Corrupt("payload".to_owned()))?),
            };
            Ok(Entry { id: row.text("id")?, event: row.text("event_id")?, owed })
        })
        .collect()
}

/// The log has them.
pub async fn delivered(db: &Db, ids: &[String]) -> Result<(), Error> {
    let mut tx = db.begin_internal("outbox delivered").await?;
    for id in ids {
        sqlx::query("DELETE FROM outbox WHERE id = $1").bind(id).execute(tx.conn()).await?;
    }
    tx.commit().await
}

/// Length-prefixed texts: kind, reason, then keys and values.
fn encode(outcome: &Outcome) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut text = |value: &str| {
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(value.as_bytes());
    };
    text(outcome.kind.as_str());
    text(&outcome.reason);
    for (key, value) in &outcome.details {
        text(key);
        text(value);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Outcome> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        texts.push(String::from_utf8(text.to_vec()).ok()?);
        bytes = rest;
    }
    let mut texts = texts.into_iter();
    let kind = texts.next()?.try_into().ok()?;
    let reason = texts.next()?;
    let mut details = std::collections::BTreeMap::new();
    while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
        details.insert(key, value);
    }
    Some(Outcome { kind, reason, details })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_its_encoding() {
        let outcome = Outcome::failed("CREDENTIAL_IN_USE").with("totalServers", "3").with("empty", "");
        assert_eq!(decode(&encode(&outcome)).unwrap(), outcome);
        assert_eq!(decode(&[0, 0, 0, 9, b'x']), None);
    }
}
