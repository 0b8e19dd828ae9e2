//! Hands the log on, portion by portion, to one place: what is new since the place's cursor, then the cursor moves.
//!
//! Invariant: the cursor moves after the place took the portion, by the holder of the place's lease: everything comes at
//! least once and in order, whatever is restarted and however many replicas there are. A place waits for no other, and
//! nothing that is appended waits for a place.

use super::contradicts::Contradiction;
use super::forward::Forward;
use super::publish::Publish;
use crate::adapters::destination::Why;
use crate::store::cursor;
use keywright_domain::clock::Instant;
use keywright_domain::ids::RequestId;
use keywright_runtime::failure::Failure;
use keywright_runtime::metrics::Gauge;
use keywright_storage::{Db, lease};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One portion may take so long, whatever the place does.
const LONGEST: Duration = Duration::from_secs(15);

const LEASE: Duration = Duration::from_secs(30);
const RENEW: Duration = Duration::from_secs(5);

/// Between the tries, in seconds; the last of them for good.
const PAUSES: [u64; 7] = [1, 2, 4, 8, 16, 32, 60];

/// What is handed on, and where.
pub enum Feed {
    Events(Forward),
    Checkpoints(Publish),
}

/// Why a portion was not handed on.
#[derive(Debug)]
pub enum Unsent {
    /// The database; the other places fare no better.
    Log(Failure),
    Refused(Why),
    Contradicted(Contradiction),
    /// Another replica goes on.
    LeaseLost,
}

impl<E: Into<Failure>> From<E> for Unsent {
    fn from(error: E) -> Self {
        Self::Log(error.into())
    }
}

pub struct HandOn {
    db: Db,
    feed: Feed,
    lag: Gauge,
    contradicted: Gauge,
    pauses: fn(usize) -> Duration,
}

impl HandOn {
    pub fn new(db: Db, feed: Feed) -> Self {
        let lag =
            Gauge::new("keywright_audit_lag", "What the log has and a place was not handed on yet (place)");
        let contradicted = Gauge::new(
            "keywright_audit_checkpoint_contradicted",
            "1 where a published checkpoint is not one of the log: it was cut, changed or restored (place)",
        );
        Self { db, feed, lag, contradicted, pauses: pause }
    }

    #[cfg(test)]
    pub fn without_pauses(self) -> Self {
        Self { pauses: |_| Duration::from_millis(20), ..self }
    }

    pub async fn run(self, stop: CancellationToken) {
        let mut failures: usize = 0;
        while !stop.is_cancelled() {
            let tried = self.look(&stop).await;
            failures = if tried.is_ok() { 0 } else { failures.saturating_add(1) };
            if let Err(unsent) = tried {
                self.tell(&unsent);
            }
            let pause = if failures == 0 { LOOK_EVERY } else { (self.pauses)(failures) };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// All that is there now, where no other replica is at it.
    async fn look(&self, stop: &CancellationToken) -> Result<(), Unsent> {
        self.feed.start(&self.db).await?;
        if self.measure().await? == 0 {
            return Ok(());
        }
        let owner = RequestId::random()?;
        let Some(lease) = lease::acquire(&self.db, self.feed.name(), owner.as_str(), LEASE).await? else {
            return Ok(());
        };
        let done = tokio::select! {
            done = self.all(&lease) => done,
            () = stop.cancelled() => Ok(()),
            () = lease::lost(&self.db, &lease, LEASE, RENEW) => Err(Unsent::LeaseLost),
        };
        if lease::release(&self.db, &lease).await.is_err() {
            tracing::debug!(place = self.feed.name(), "the lease ends by itself");
        }
        done
    }

    async fn all(&self, lease: &lease::Lease) -> Result<(), Unsent> {
        loop {
            let now = self.db.now().await?;
            let handed = tokio::time::timeout(LONGEST, self.feed.step(&self.db, now)).await;
            let moved = handed.map_err(|_| Unsent::Refused("no answer within 15 seconds".into()))??;
            if moved.is_empty() {
                return Ok(());
            }
            if !self.db.serialized(|| cursor::advance(&self.db, lease, &moved)).await? {
                return Err(Unsent::LeaseLost);
            }
            self.contradicted.record_of("place", self.feed.name().to_owned(), 0);
            self.measure().await?;
        }
    }

    async fn measure(&self) -> Result<u64, Unsent> {
        let lag = self.feed.lag(&self.db).await?;
        self.lag.record_of("place", self.feed.name().to_owned(), lag);
        Ok(lag)
    }

    fn tell(&self, unsent: &Unsent) {
        let place = self.feed.name();
        match unsent {
            Unsent::Log(failure) => {
                tracing::warn!(
                    place,
                    reason = failure.reason.as_str(),
                    "the log could not be read to be handed on"
                );
            }
            Unsent::Refused(why) => {
                tracing::warn!(place, %why, "the log was not handed on; it is tried again");
            }
            Unsent::Contradicted(contradiction) => {
                self.contradicted.record_of("place", place.to_owned(), 1);
                tracing::error!(place, %contradiction, "a checkpoint that was published is not one of this log");
            }
            Unsent::LeaseLost => tracing::info!(place, "another replica hands the log on"),
        }
    }
}

impl Feed {
    fn name(&self) -> &str {
        match self {
            Self::Events(forward) => &forward.name,
            Self::Checkpoints(publish) => &publish.name,
        }
    }

    async fn start(&self, db: &Db) -> Result<(), Unsent> {
        match self {
            Self::Events(forward) => forward.start(db).await,
            Self::Checkpoints(publish) => publish.start(db).await,
        }
    }

    /// How many leaves or checkpoints are still to come.
    async fn lag(&self, db: &Db) -> Result<u64, Unsent> {
        match self {
            Self::Events(forward) => forward.lag(db).await,
            Self::Checkpoints(publish) => publish.lag(db).await,
        }
    }

    /// Hands one portion on, and says how the cursors move for it; none where nothing is left.
    async fn step(&self, db: &Db, now: Instant) -> Result<Vec<(String, i64)>, Unsent> {
        match self {
            Self::Events(forward) => forward.step(db, now).await,
            Self::Checkpoints(publish) => publish.step(db, now).await,
        }
    }
}

/// After so many failures in a row.
fn pause(failures: usize) -> Duration {
    let index = failures.saturating_sub(1).min(PAUSES.len().saturating_sub(1));
    Duration::from_secs(PAUSES.get(index).copied().unwrap_or_default())
}
