//! Appends outcomes: sent at least once, once in the log.

use crate::leaf::{Clear, seal};
use crate::store::event;
use crate::store::log::{self, Kind};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Tx};
use std::collections::BTreeMap;

pub struct RecordOutcomes {
    pub db: Db,
}

#[derive(Debug, Clone)]
pub struct Outcome {
    pub event: String,
    /// `succeeded`, `failed`, `denied` or `interrupted`.
    pub outcome: &'static str,
    pub reason: String,
    pub details: BTreeMap<String, String>,
}

impl RecordOutcomes {
    pub async fn run(&self, outcomes: &[Outcome]) -> Result<(), Failure> {
        let result: Result<(), Error> = self.db.serialized(|| self.append(outcomes)).await;
        Ok(result?)
    }

    async fn append(&self, outcomes: &[Outcome]) -> Result<(), Error> {
        let mut tx = self.db.begin_append().await?;
        log::lock(&mut tx).await?;
        for outcome in outcomes {
            one(&mut tx, outcome).await?;
        }
        Ok(tx.commit().await?)
    }
}

async fn one(tx: &mut Tx, outcome: &Outcome) -> Result<(), Error> {
    let kind = match event::outcome(tx, &outcome.event).await?.as_deref() {
        Some("pending") => Kind::Outcome,
        // Closed for the time being; what really happened is appended, never written over.
        Some("interrupted") if outcome.outcome != "interrupted" => Kind::Correction,
        Some(_) => return Ok(()),
        None => {
            tracing::error!(event = outcome.event, "an outcome without an intent");
            return Ok(());
        }
    };
    if log::position(tx, &outcome.event, kind).await?.is_some() {
        return Ok(());
    }
    let clear = Clear { details: outcome.details.clone(), ..Clear::default() };
    let word = outcome.outcome.to_ascii_uppercase();
    let fields = [
        ("intentId", outcome.event.as_str()),
        ("outcome", word.as_str()),
        ("reason", outcome.reason.as_str()),
    ];
    let leaf = seal("OUTCOME", tx.now(), &fields, &clear)?;
    let seq = log::append(tx, &outcome.event, kind, &leaf, &clear).await?;
    event::close(tx, &outcome.event, seq, outcome.outcome, &outcome.reason).await?;
    Ok(())
}
