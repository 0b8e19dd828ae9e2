//! Reads, probes and completes a recovery.

use crate::model::{Finding, Recovery, RecoveryLine};
use crate::recovery::{Asked, Rounds, WORK, complete};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::lease::{self, Lease};
use keywright_storage::{Db, Intent, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::instrument;

/// How long a request waits for the hosts; the worker goes on with what is left.
const PATIENCE: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long one round of questions may take before another process asks too.
const LEASE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Recover {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub rounds: Rounds,
    pub wake: Arc<Notify>,
    /// Who holds the leases of this process.
    pub owner: String,
}

/// What there is to see.
#[derive(Debug, Default)]
pub struct RecoveryView {
    /// None if there never was a restore.
    pub recovery: Option<Recovery>,
    pub lines: Vec<RecoveryLine>,
}

impl RecoveryView {
    pub fn count(&self, finding: Finding) -> usize {
        self.lines.iter().filter(|line| line.finding() == finding).count()
    }
}

impl Recover {
    #[instrument(skip_all)]
    pub async fn read(&self, caller: &Caller) -> Result<RecoveryView, Failure> {
        self.guard.allow(caller, "recovery.read", None, WORK, Reason::PermissionDenied).await?;
        self.view().await
    }

    #[instrument(skip_all)]
    pub async fn probe(&self, caller: &Caller) -> Result<RecoveryView, Failure> {
        self.guard.allow(caller, "recovery.probe", None, WORK, Reason::PermissionDenied).await?;
        let intent = self.audit.intend(caller, Entry::new("recovery.probe").target(WORK)).await?;
        let requested = self.db.serialized(|| self.request(&intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &requested).await;
        requested?;
        self.begin().await;
        self.wake.notify_one();
        self.view().await
    }

    /// A round that is under way is joined.
    async fn request(&self, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        match store::recovery::find(tx.conn()).await? {
            Some(recovery) if recovery.is_probing() => {}
            Some(recovery) if recovery.is_active() => store::recovery::request_probe(&mut tx).await?,
            _ => {
                let what = "is not in recovery: there was no restore, or it is completed";
                return Err(Failure::violation("recovery", what).into());
            }
        }
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// As far as it goes while the request waits; another process may be at it.
    async fn begin(&self) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < until {
            match lease::acquire(&self.db, WORK, &self.owner, LEASE).await {
                Ok(Some(lease)) => return self.round(&lease, until).await,
                Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
                Err(_) => return,
            }
        }
    }

    async fn round(&self, lease: &Lease, until: tokio::time::Instant) {
        if let Ok(Err(failure)) = tokio::time::timeout_at(until, self.rounds.run()).await {
            tracing::info!(reason = failure.reason.as_str(), "the worker goes on probing");
        }
        if lease::release(&self.db, lease).await.is_err() {
            tracing::debug!("the lease ends by itself");
        }
    }

    #[instrument(skip_all)]
    pub async fn complete(&self, caller: &Caller, asked: Asked) -> Result<RecoveryView, Failure> {
        self.guard.allow(caller, "recovery.complete", None, WORK, Reason::PermissionDenied).await?;
        let entry = Entry::new("recovery.complete").target(WORK);
        let entry = entry.detail("restoreLines", asked.restore_lines.len().to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.db.serialized(|| self.end(&asked, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result?;
        self.wake.notify_one();
        self.view().await
    }

    async fn end(&self, asked: &Asked, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        complete(&mut tx, asked).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn view(&self) -> Result<RecoveryView, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let recovery = store::recovery::find(&mut reader).await?;
        let lines = store::recovery::lines(&mut reader).await?;
        Ok(RecoveryView { recovery, lines })
    }
}
