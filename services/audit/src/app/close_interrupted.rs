//! Closes intents whose operation never reported its end: the process that worked on it is gone.

use crate::app::append::Appender;
use crate::app::record_outcomes::{Outcome, RecordOutcomes};
use crate::store::event;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longer than any operation's deadline and the delivery of its outcome.
pub const AFTER: Duration = Duration::from_secs(15 * 60);

const EVERY: Duration = Duration::from_secs(60);

pub struct CloseInterrupted {
    pub db: Db,
    pub log: Appender,
}

impl CloseInterrupted {
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(failure) = self.once().await {
                tracing::warn!(
                    reason = failure.reason.as_str(),
                    "interrupted operations could not be closed"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    pub async fn once(&self) -> Result<usize, Failure> {
        let before = self.db.now().await?.minus(AFTER);
        let outcomes: Vec<Outcome> = event::pending_since(&self.db, before)
            .await?
            .into_iter()
            .map(|event| Outcome {
                event,
                outcome: "interrupted",
                reason: String::new(),
                details: BTreeMap::new(),
            })
            .collect();
        let count = outcomes.len();
        RecordOutcomes { log: self.log.clone() }.run(outcomes).await?;
        Ok(count)
    }
}
