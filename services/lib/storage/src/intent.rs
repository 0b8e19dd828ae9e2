//! Audit first, as a type: the proof that an intent is durable, which opens a writing transaction, and the outcome
//! that goes into that transaction's outbox.

use crate::{Error, Tx, outbox};
use keywright_domain::ids::EventId;
use std::collections::BTreeMap;

/// A durable audit intent. Only the audit client of the runtime makes one, after the log has answered (or, for a
/// revocation alone, when the intent is to be spooled with its first transaction).
#[derive(Debug)]
#[must_use = "an intent that never ends is closed as INTERRUPTED"]
pub struct Intent {
    event: EventId,
    spooled: Option<Vec<u8>>,
}

impl Intent {
    pub fn durable(event: EventId) -> Self {
        Self { event, spooled: None }
    }

    /// The log is unavailable: `record` is delivered first when it returns. For revocations alone.
    pub fn spooled(event: EventId, record: Vec<u8>) -> Self {
        Self { event, spooled: Some(record) }
    }

    pub fn event(&self) -> &EventId {
        &self.event
    }

    pub(crate) fn spool(&self) -> Option<&[u8]> {
        self.spooled.as_deref()
    }

    /// Puts the outcome into the transaction, from where it reaches the log at least once.
    pub async fn done(&self, tx: &mut Tx, outcome: Outcome) -> Result<(), Error> {
        outbox::put_outcome(tx, &self.event, &outcome).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    Succeeded,
    Failed,
    Denied,
    Interrupted,
}

impl OutcomeKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Interrupted => "interrupted",
        }
    }
}

impl TryFrom<String> for OutcomeKind {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        [Self::Succeeded, Self::Failed, Self::Denied, Self::Interrupted]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// How an audited operation ended. `details` are facts, never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub kind: OutcomeKind,
    pub reason: String,
    pub details: BTreeMap<String, String>,
}

impl Outcome {
    pub fn succeeded() -> Self {
        Self { kind: OutcomeKind::Succeeded, reason: String::new(), details: BTreeMap::new() }
    }

    pub fn failed(reason: &str) -> Self {
        Self { kind: OutcomeKind::Failed, reason: reason.to_owned(), details: BTreeMap::new() }
    }

    pub fn denied(reason: &str) -> Self {
        Self { kind: OutcomeKind::Denied, reason: reason.to_owned(), details: BTreeMap::new() }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}
