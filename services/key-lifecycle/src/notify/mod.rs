//! Telling people: notices become messages, messages are sent until they are taken or three days are over.
//!
//! | file | |
//! |---|---|
//! | `events` | what can be told, in words |
//! | `fan_out` | a notice, a message for each that wants it |
//! | `message` | what a message says |
//! | `signature` | the secrets that sign webhooks |
//! | `deliver` | one try |
//! | `left` | tenants that were deleted |
//!
//! Invariant: nothing waits for a receiver but the message to it; whoever holds the lease sends, so that no two
//! processes send the same message at once, and one that dies leaves its messages to the next.

pub mod deliver;
pub mod events;
pub mod fan_out;
mod left;
mod message;
pub mod signature;

use crate::held::{self, Span};
use crate::model::{Delivery, Recipient};
use crate::store;
use deliver::Deliverer;
use fan_out::FanOut;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
pub use message::Letter;
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const WORK: &str = "notifications";
const POLL: Duration = Duration::from_millis(500);
const SPAN: Span = Span { lease: Duration::from_secs(10), renew: Duration::from_secs(3) };
/// Messages under way at once, each to another recipient; and those to targets whose last message failed: however many of
/// them hang, nobody else waits.
const AT_ONCE: usize = 32;
const AT_ONCE_FAILING: usize = 16;
/// In polls: about once an hour.
const PURGE_EVERY: u32 = 7_200;
/// In polls: about every five minutes.
const FORGET_EVERY: u32 = 600;
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// So long nothing is told a second time.
const REMEMBERED: Duration = Duration::from_secs(400 * 24 * 3600);

#[derive(Clone)]
pub struct Notifier {
    pub db: Db,
    pub owner: String,
    pub fan_out: FanOut,
    pub deliverer: Deliverer,
}

impl Notifier {
    pub async fn run(self, stop: CancellationToken) {
        let mut round = 0u32;
        while !stop.is_cancelled() {
            if let Err(failure) = self.look(round, &stop).await {
                tracing::debug!(reason = failure.reason.as_str(), "the notifier waits");
            }
            round = round.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Everything that is due now.
    #[cfg(test)]
    pub async fn settle(&self) {
        self.work().await.unwrap();
    }

    #[cfg(test)]
    pub async fn clear_old(&self) {
        self.forget_the_left().await.unwrap();
        self.db.serialized(|| self.purge()).await.unwrap();
    }

    async fn look(&self, round: u32, stop: &CancellationToken) -> Result<(), Failure> {
        if round.is_multiple_of(FORGET_EVERY)
            && let Err(failure) = self.forget_the_left().await
        {
            tracing::info!(reason = failure.reason.as_str(), "deleted tenants are looked for later");
        }
        if round.is_multiple_of(PURGE_EVERY) {
            self.db.serialized(|| self.purge()).await.map_err(Failure::from)?;
        }
        if self.is_due().await? { self.hold(stop).await } else { Ok(()) }
    }

    async fn is_due(&self) -> Result<bool, Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        Ok(!store::notice::untold(&mut reader, now, 1).await?.is_empty()
            || store::delivery::is_due(&mut reader, now).await?)
    }

    /// Sends what is due as long as the lease is ours; what is under way when it is lost is sent again by its next holder.
    async fn hold(&self, stop: &CancellationToken) -> Result<(), Failure> {
        let work = async {
            tokio::select! {
                result = self.work() => result,
                () = stop.cancelled() => Ok(()),
            }
        };
        held::held(&self.db, WORK, &self.owner, SPAN, work).await.map(|_| ())
    }

    /// Until nothing is due and nothing is under way.
    async fn work(&self) -> Result<(), Failure> {
        let mut running: JoinSet<Recipient> = JoinSet::new();
        // With whether each was failing when its message was begun.
        let mut busy: HashMap<Recipient, bool> = HashMap::new();
        loop {
            self.fan_out.run().await?;
            for (failing, room) in [(false, AT_ONCE), (true, AT_ONCE_FAILING)] {
                for delivery in self.due(failing, &busy).await? {
                    let under_way = busy.values().filter(|other| **other == failing).count();
                    if under_way < room && !busy.contains_key(&delivery.to) {
                        busy.insert(delivery.to.clone(), failing);
                        running.spawn(send(self.deliverer.clone(), delivery));
                    }
                }
            }
            if running.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                Some(ended) = running.join_next() => match ended {
                    Ok(to) => { busy.remove(&to); }
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    async fn due(&self, failing: bool, busy: &HashMap<Recipient, bool>) -> Result<Vec<Delivery>, Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        // The oldest of one that is busy is the one under way.
        let limit = i64::try_from(AT_ONCE.saturating_add(busy.len())).unwrap_or(i64::MAX);
        Ok(store::delivery::due(&mut reader, now, failing, limit).await?)
    }

    async fn purge(&self) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("old messages go").await?;
        let (kept, remembered) = (tx.now().minus(KEPT), tx.now().minus(REMEMBERED));
        store::delivery::purge(&mut tx, kept).await?;
        store::notification_target::purge(&mut tx).await?;
        store::notice::purge(&mut tx, kept, remembered).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Answers to whom, when that is over.
async fn send(deliverer: Deliverer, delivery: Delivery) -> Recipient {
    let to = delivery.to.clone();
    if let Err(failure) = deliverer.run(delivery, true).await {
        tracing::warn!(reason = failure.reason.as_str(), "a message's fate could not be recorded");
        tokio::time::sleep(POLL).await;
    }
    to
}
