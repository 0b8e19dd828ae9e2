//! Looks at every managed server, each at its own time.
//!
//! Invariant: when a server is due stands in its row; a replica that finds another looking leaves it alone. Nothing is
//! looked at during a recovery, nothing is repaired under a brake.

use super::options::Refresher;
use super::repair::Repairer;
use super::scanner::{BY_ITSELF, Scanner};
use crate::adapters::door::Door;
use crate::recovery;
use crate::store;
use futures_util::StreamExt;
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the rows are asked what is due.
const POLL: Duration = Duration::from_secs(5);
/// Servers that are looked at at once.
const AT_ONCE: usize = 4;
const BATCH: i64 = 64;

#[derive(Clone)]
pub struct Watch {
    pub repairer: Repairer,
    pub refresher: Refresher,
}

impl Watch {
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL.min(self.scanner().every)) => {}
            }
            let round = self.round();
            tokio::select! {
                () = stop.cancelled() => return,
                result = round => {
                    if let Err(failure) = result {
                        tracing::debug!(reason = failure.reason.as_str(), "the watch waits");
                    }
                }
            }
        }
    }

    const fn scanner(&self) -> &Scanner {
        &self.repairer.scanner
    }

    /// Everything that is due now, once.
    pub async fn round(&self) -> Result<(), Failure> {
        recovery::refuse_while_active(&self.scanner().db).await?;
        self.expect_new().await?;
        let now = self.scanner().db.now().await?;
        let mut reader = store::reader(&self.scanner().db).await?;
        let changed = store::line_options::due_servers(&mut reader, now, BATCH).await?;
        let due = store::server_scan::due(&mut reader, now, BATCH).await?;
        drop(reader);
        let each = futures_util::stream::iter(changed).map(|server| self.refresh(server, now));
        each.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        let each = futures_util::stream::iter(due).map(|server| self.server(server));
        each.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        Ok(())
    }

    /// New servers get their first time: spread, so that not all are looked at together.
    async fn expect_new(&self) -> Result<(), Failure> {
        let db = &self.scanner().db;
        let mut reader = store::reader(db).await?;
        let new = store::server_scan::unexpected(&mut reader, BATCH).await?;
        drop(reader);
        if new.is_empty() {
            return Ok(());
        }
        let done = db.serialized(|| async {
            let mut tx = db.begin_internal("servers are to be looked at").await?;
            for server in &new {
                let at = tx.now().plus(spread(server, self.scanner().every));
                store::server_scan::expect(&mut tx, server, at).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn refresh(&self, id: ServerId, now: Instant) {
        if let Err(failure) = self.refresher.server(&id, now).await {
            tracing::debug!(server = %id, reason = failure.reason.as_str(), "changed options are tried again at once");
        }
    }

    async fn server(&self, id: ServerId) {
        if let Err(failure) = self.look(&id).await {
            tracing::info!(server = %id, reason = failure.reason.as_str(), "a server could not be looked at");
            let later = if failure.is(Reason::ServerNotFound) {
                self.forget(&id).await
            } else {
                self.scanner().put_off(&id, &failure).await
            };
            if let Err(failure) = later {
                tracing::debug!(reason = failure.reason.as_str(), "it is tried again at once");
            }
        }
    }

    async fn look(&self, id: &ServerId) -> Result<(), Failure> {
        let scanner = self.scanner();
        let server = scanner.converger.store.server(id).await?;
        if !server.active {
            return Err(Failure::new(Reason::ServerInactive, "The server is deactivated."));
        }
        let looked = scanner.try_look(&server, |door| async move { self.look_and_repair(&door).await });
        looked.await.map(|_| ())
    }

    async fn look_and_repair(&self, door: &Door) -> Result<(), Failure> {
        let now = self.scanner().db.now().await?;
        let mut reader = store::reader(&self.scanner().db).await?;
        // Another replica may have looked between the question and the lease.
        let due = store::server_scan::is_due(&mut reader, &door.server.id, now).await?;
        drop(reader);
        if !due {
            return Ok(());
        }
        let scan = self.scanner().scan(door, BY_ITSELF, None).await?;
        if scan.drift > 0 && self.repairer.run(door, &scan).await? > 0 {
            self.scanner().scan(door, BY_ITSELF, None).await?;
        }
        Ok(())
    }

    async fn forget(&self, id: &ServerId) -> Result<(), Failure> {
        let db = &self.scanner().db;
        let done = db.serialized(|| async {
            let mut tx = db.begin_internal("a server is gone").await?;
            store::server_scan::forget(&mut tx, id).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}

/// Somewhere within the interval, always the same place for a server.
fn spread(server: &ServerId, every: Duration) -> Duration {
    let digest = Sha256::digest(server.as_str().as_bytes());
    let place = digest.iter().take(4).fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let micros = u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(place.saturating_mul(1_000_003).checked_rem(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_spread_over_the_interval() {
        let every = Duration::from_secs(6 * 3600);
        let places: Vec<Duration> = (0..400).map(|_| spread(&ServerId::random().unwrap(), every)).collect();
        assert!(places.iter().all(|place| *place < every));
        let early = places.iter().filter(|place| **place < every / 2).count();
        assert!((120..280).contains(&early), "{early} of 400 in the first half");
    }
}
