//! What happens to keys because time passes: automatic rotations, the notices before and after, the one extension of a
//! grace whose new key nobody has, and the end of private halves that were downloaded.
//!
//! | file | |
//! |---|---|
//! | `window` | when (pure) |
//! | `ages` | keys that are due |
//! | `graces` | graces that end |
//! | `forgotten` | downloads that nobody acknowledged |
//! | `caps` | how many at once |
//!
//! Invariants: everything is read from the database by its clock, so any replica may do a round, and a round that is
//! cut off or done twice starts nothing twice; a freeze and the caps are asked for in the transaction that starts work;
//! a key whose holder made it is never replaced here.

mod ages;
pub mod caps;
mod forgotten;
mod graces;
mod told;
pub mod window;

use crate::adapters::credential_store::CredentialStore;
use crate::app::start_rotation::StartRotation;
use crate::model::Notice;
use crate::recovery;
use crate::store;
use keywright_domain::clock::Instant;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Audit;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, lease};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const WORK: &str = "schedule";
const EVERY: Duration = Duration::from_secs(10);
/// Longer than a round; who dies in one leaves the next to another after this time.
const LEASE: Duration = Duration::from_secs(60);
/// Notices that a process remembers.
const REMEMBERED: usize = 100_000;

#[derive(Clone)]
pub struct Scheduler {
    pub db: Db,
    pub audit: Audit,
    pub store: CredentialStore,
    pub rotate: StartRotation,
    /// Who holds the leases of this process.
    pub owner: String,
    /// What this process knows to be told: most of what is due was due in the last round.
    pub told: Arc<Mutex<HashSet<String>>>,
}

impl Scheduler {
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                done = self.turn() => {
                    if let Err(failure) = done {
                        tracing::debug!(reason = failure.reason.as_str(), "the schedule waits");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// A round, if no other replica is at it.
    async fn turn(&self) -> Result<(), Failure> {
        let Some(lease) = lease::acquire(&self.db, WORK, &self.owner, LEASE).await? else { return Ok(()) };
        let done = self.round().await;
        lease::release(&self.db, &lease).await?;
        done
    }

    /// Everything that is due now, as far as the caps allow.
    pub async fn round(&self) -> Result<(), Failure> {
        match recovery::refuse_while_active(&self.db).await {
            Err(failure) if failure.is(Reason::RecoveryMode) => return Ok(()),
            checked => checked?,
        }
        let now = self.db.now().await?;
        self.forgotten(now).await?;
        self.graces(now).await?;
        self.ages(now).await
    }

    /// Told once, however often it is seen.
    async fn tell(&self, notice: &Notice) -> Result<(), Failure> {
        if self.told().contains(&notice.dedup) {
            return Ok(());
        }
        let mut reader = store::reader(&self.db).await?;
        let was_told = store::notice::was_told(&mut reader, &notice.dedup).await?;
        drop(reader);
        if !was_told {
            self.write_notice(notice).await?;
        }
        let mut told = self.told();
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(notice.dedup.clone());
        Ok(())
    }

    fn told(&self) -> MutexGuard<'_, HashSet<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write_notice(&self, notice: &Notice) -> Result<(), Failure> {
        let told = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("the age of a key is told").await?;
            store::notice::write(&mut tx, notice).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(told.await?)
    }
}

/// A key that is in use, with what its age asks for.
#[derive(Debug, Clone)]
struct Aged {
    key: store::schedule::InUse,
    /// When its maximum age ends.
    end: Instant,
    /// When its rotation is to begin; None where nobody but its holder replaces it.
    planned: Option<Instant>,
}
