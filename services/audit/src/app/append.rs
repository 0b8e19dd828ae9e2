//! The one way into the log: whatever waits is one durable write, in the order in which it came.
//!
//! Invariant: an entry is answered after the commit that holds it; what is sent twice is once in the log; a leaf that is
//! there is never changed.

use crate::store::event::{self, Closed, Open, Standing};
use crate::store::log::{self, Kind};
use crate::store::write::{self, Committed, NewLeaf, Opened};
use keywright_domain::clock::{NoRandomness, fill_random};
use keywright_log::leaf::{Clear, NewSalts, Unsealed};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Batch, Db};
use std::collections::HashMap;
use std::sync::Arc;

/// Fresh salts for an entry's commitments.
pub fn salts() -> Result<NewSalts, NoRandomness> {
    let mut salts = NewSalts::default();
    fill_random(salts.as_flattened_mut())?;
    Ok(salts)
}

/// Entries of one write, each of some 2 KB.
const MOST: usize = 128;

/// What is to be appended, but for its position and its time.
pub struct Entry {
    pub event: String,
    pub leaf: Unsealed,
    pub clear: Clear,
    pub of: Of,
}

/// Which half of an operation it is.
pub enum Of {
    Intent(Open),
    Outcome {
        /// `succeeded`, `failed`, `denied` or `interrupted`.
        outcome: &'static str,
        reason: String,
    },
}

/// Where an entry stands; none for an outcome that the log has, or that has no intent.
pub type Position = Option<i64>;

#[derive(Clone)]
pub struct Appender {
    batch: Batch<Entry, Position, Failure>,
}

impl Appender {
    pub fn new(db: Db) -> Self {
        let batch = Batch::new(MOST, move |entries: Arc<[Entry]>| {
            let db = db.clone();
            async move {
                let written: Result<Vec<Position>, Error> = db.serialized(|| write(&db, &entries)).await;
                Ok(written?)
            }
        });
        Self { batch }
    }

    pub async fn append(&self, entry: Entry) -> Result<Position, Failure> {
        self.batch.write(entry).await
    }

    /// In a row.
    pub async fn append_all(&self, entries: Vec<Entry>) -> Result<(), Failure> {
        self.batch.write_all(entries).await.map(drop)
    }
}

async fn write(db: &Db, entries: &[Entry]) -> Result<Vec<Position>, Error> {
    let dialect = db.dialect();
    let (mut tx, mut size) = log::lock(db).await?;
    let at = tx.now();
    let time = at.rfc3339();
    let names: Vec<&str> = entries.iter().map(|entry| entry.event.as_str()).collect();
    let known = event::standing(&mut tx, dialect, &names).await?;
    // How each stands, with what this write adds to it.
    let mut known: HashMap<String, Standing> = known.into_iter().collect();
    let (mut leaves, mut opened, mut closed) = (Vec::new(), Vec::new(), HashMap::new());
    let mut positions = Vec::with_capacity(entries.len());
    for entry in entries {
        let event = entry.event.as_str();
        let (kind, intent) = match (&entry.of, known.get(event)) {
            (Of::Intent(_), Some(standing)) => {
                positions.push(Some(standing.intent));
                continue;
            }
            (Of::Intent(_), None) => (Kind::Intent, size),
            (Of::Outcome { .. }, None) => {
                tracing::error!(event, "an outcome without an intent");
                positions.push(None);
                continue;
            }
            (Of::Outcome { outcome, .. }, Some(standing)) => match standing.outcome.as_str() {
                "pending" => (Kind::Outcome, standing.intent),
                // Closed for the time being; what really happened is appended, never written over. An event that is
                // retired stays as it was.
                "interrupted" if *outcome != "interrupted" => (Kind::Correction, standing.intent),
                _ => {
                    positions.push(None);
                    continue;
                }
            },
        };
        match &entry.of {
            Of::Intent(open) => {
                let standing = Standing { intent, outcome: "pending".to_owned(), erased: false };
                known.insert(event.to_owned(), standing);
                opened.push(Opened { position: size, open, clear: &entry.clear });
            }
            Of::Outcome { outcome, reason } => {
                if let Some(standing) = known.get_mut(event) {
                    (*outcome).clone_into(&mut standing.outcome);
                }
                closed.insert(event, Closed { intent, position: size, outcome, reason });
            }
        }
        let Entry { leaf: unsealed, clear, .. } = entry;
        let is_erased = known.get(event).is_some_and(|standing| standing.erased);
        let committed = Committed { clear, details: unsealed.details(), salts: unsealed.salts() };
        let committed = Some(committed).filter(|_| !is_erased);
        leaves.push(NewLeaf { position: size, intent, event, kind, leaf: unsealed.seal(&time), committed });
        positions.push(Some(size));
        size = size.saturating_add(1);
    }
    if leaves.is_empty() {
        return Ok(positions);
    }
    write::append(&mut tx, dialect, at, &leaves, &opened, size).await?;
    let closed: Vec<Closed<'_>> = closed.into_values().collect();
    event::close(&mut tx, dialect, at, &closed).await?;
    tx.commit().await?;
    Ok(positions)
}
