//! Appends outcomes: sent at least once, once in the log.

use super::append::{Appender, Entry, Of, salts};
use keywright_log::leaf::{Clear, Unsealed};
use keywright_runtime::failure::Failure;
use std::collections::BTreeMap;

pub struct RecordOutcomes {
    pub log: Appender,
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
    pub async fn run(&self, outcomes: Vec<Outcome>) -> Result<(), Failure> {
        let entries = outcomes.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        self.log.append_all(entries).await
    }
}

fn entry(outcome: Outcome) -> Result<Entry, Failure> {
    let Outcome { event, outcome, reason, details } = outcome;
    let clear = Clear { details, ..Clear::default() };
    let word = outcome.to_ascii_uppercase();
    let fields = [("intentId", event.as_str()), ("outcome", word.as_str()), ("reason", reason.as_str())];
    let leaf = Unsealed::new("OUTCOME", &fields, &clear, &salts()?);
    Ok(Entry { event, leaf, clear, of: Of::Outcome { outcome, reason } })
}
