//! What the service does by itself: drives every open rotation, grace end and revocation and every management key that is
//! not done with, and says again to credential-store what it could not hear.
//!
//! Invariant: what is to be done stands in the database alone. A work is driven under a lease that its driver keeps
//! renewing; when the lease is lost the driver stops where it is, and every step may be repeated by the next.

use crate::campaign::Driver;
use crate::custody::Custody;
use crate::management::Keys;
use crate::offboarding::Offboarder;
use crate::recovery::{self, Settler};
use crate::release::Releaser;
use crate::revocation::Revoker;
use crate::rotation::{Drive, plan};
use crate::store;
use keywright_domain::ids::{AccessId, CampaignId, ManagementId, RevocationId, RotationId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use keywright_storage::lease::{self, Lease};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant as Started;
use tokio_util::sync::CancellationToken;

const POLL: Duration = Duration::from_millis(500);
/// Short, so that another process soon goes on after a kill. A holder that is held up for longer harms nothing: whatever
/// he still records is refused by the lease's fence, and whatever he still writes on a host by the edit's revision.
pub const LEASE: Duration = Duration::from_secs(4);
pub const RENEW: Duration = Duration::from_secs(1);
/// After a failure outside of any step.
const PAUSE: Duration = Duration::from_secs(2);
/// A refused beginning leaves a failed rotation behind: not too often.
const CAMPAIGN_PAUSE: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 32;
/// Further ones for revocations alone: none waits for rotations whose hosts do not answer.
const ROOM_TO_REVOKE: usize = 16;
/// A revocation that takes longer waits for a host: no other revocation waits for that.
const SLOW: Duration = Duration::from_secs(2);
const MOST: usize = 128;
const SWEEP_EVERY: u32 = 20;

#[derive(Clone)]
pub struct Worker {
    pub db: Db,
    pub owner: String,
    pub drive: Drive,
    pub revoker: Revoker,
    pub custody: Custody,
    pub keys: Keys,
    pub releaser: Releaser,
    pub offboarder: Offboarder,
    pub settler: Settler,
    pub campaigns: Driver,
    pub wake: Arc<Notify>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    Rotation(RotationId),
    Revocation(RevocationId),
    Management(ManagementId),
    Release(ManagementId),
    Offboarding(TenantId),
    Versions(AccessId),
    Campaign(CampaignId),
    /// After a restore.
    Recovery,
}

impl Work {
    fn id(&self) -> &str {
        match self {
            Self::Rotation(id) => id.as_str(),
            Self::Revocation(id) => id.as_str(),
            Self::Management(id) | Self::Release(id) => id.as_str(),
            Self::Offboarding(id) => id.as_str(),
            Self::Versions(id) => id.as_str(),
            Self::Campaign(id) => id.as_str(),
            Self::Recovery => recovery::WORK,
        }
    }

    /// Whether it is begun, beside those that are under way and when they were begun.
    fn has_room(&self, held: &HashMap<Self, Started>) -> bool {
        if !matches!(self, Self::Revocation(_)) {
            return held.len() < AT_ONCE;
        }
        let quick = |(work, started): &(&Self, &Started)| {
            matches!(work, Self::Revocation(_)) && started.elapsed() < SLOW
        };
        held.len() < AT_ONCE + ROOM_TO_REVOKE
            || (held.len() < MOST && held.iter().filter(quick).count() < ROOM_TO_REVOKE)
    }
}

impl Worker {
    pub async fn run(self, stop: CancellationToken) {
        let mut running: JoinSet<Work> = JoinSet::new();
        // Only so that a lease which this process holds is not asked for twice a second.
        let mut held: HashMap<Work, Started> = HashMap::new();
        let mut round = 0u32;
        if recovery::refuse_while_active(&self.db)
            .await
            .is_err_and(|failure| failure.is(Reason::RecoveryMode))
        {
            tracing::warn!(
                "in recovery after a restore: no host is written to; see keywright admin recovery"
            );
        }
        while !stop.is_cancelled() {
            let sweep = round.is_multiple_of(SWEEP_EVERY);
            round = round.wrapping_add(1);
            match self.due(sweep).await {
                Ok(due) => {
                    for work in due {
                        if !held.contains_key(&work) && work.has_room(&held) {
                            held.insert(work.clone(), Started::now());
                            let (worker, stop) = (self.clone(), stop.clone());
                            running.spawn(async move {
                                worker.hold(&work, &stop).await;
                                work
                            });
                        }
                    }
                }
                Err(failure) => tracing::debug!(reason = failure.reason.as_str(), "the worker waits"),
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                Some(ended) = running.join_next(), if !running.is_empty() => {
                    match ended {
                        Ok(work) => { held.remove(&work); }
                        Err(_) => held.clear(),
                    }
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Everything that is due now, one after the other.
    #[cfg(test)]
    pub async fn settle(&self) {
        for _ in 0..100 {
            let due = self.due(true).await.unwrap();
            let mut moved = false;
            for work in due {
                match self.perform(&work, None).await {
                    Ok(()) => moved |= !matches!(work, Work::Versions(_)),
                    Err(failure) => self.put_off_for_test(&work, &failure).await,
                }
            }
            if !moved {
                return;
            }
        }
        panic!("it does not settle");
    }

    #[cfg(test)]
    async fn put_off_for_test(&self, work: &Work, failure: &Failure) {
        if matches!(work, Work::Rotation(_) | Work::Management(_) | Work::Release(_) | Work::Campaign(_)) {
            self.put_off(work, failure).await;
        }
    }

    async fn due(&self, sweep: bool) -> Result<Vec<Work>, Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let limit = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
        let mut due = Vec::new();
        if sweep {
            due.extend(store::version::unpushed(&mut reader, limit).await?.into_iter().map(Work::Versions));
        }
        let restored = store::recovery::find(&mut reader).await?;
        if let Some(recovery) = restored.as_ref().filter(|recovery| recovery.is_active()) {
            // No host is written to; what a revocation destroys is destroyed all the same.
            due.extend(recovery.is_probing().then_some(Work::Recovery));
            return Ok(due);
        }
        if restored.is_some() && !store::recovery::due(&mut reader, now, 1).await?.is_empty() {
            due.push(Work::Recovery);
        }
        let moment = store::Moment {
            now,
            latest_pause: now.plus(plan::LONGEST_PAUSE),
            latest_lease: lease::latest(now, LEASE),
        };
        due.extend(
            store::revocation::due(&mut reader, moment, limit).await?.into_iter().map(Work::Revocation),
        );
        due.extend(store::rotation::due(&mut reader, moment, limit).await?.into_iter().map(Work::Rotation));
        due.extend(
            store::offboarding::due(&mut reader, now, limit).await?.into_iter().map(Work::Offboarding),
        );
        due.extend(store::release::due(&mut reader, now, limit).await?.into_iter().map(Work::Release));
        due.extend(store::management::due(&mut reader, now, limit).await?.into_iter().map(Work::Management));
        due.extend(store::campaign::due(&mut reader, now, limit).await?.into_iter().map(Work::Campaign));
        Ok(due)
    }

    /// Does the work as long as the lease is ours. A step that is cut off is repeated by whoever takes the lease next.
    async fn hold(&self, work: &Work, stop: &CancellationToken) {
        let Ok(Some(lease)) = lease::acquire(&self.db, work.id(), &self.owner, LEASE).await else { return };
        tokio::select! {
            result = self.perform(work, Some(&lease)) => {
                if let Err(failure) = result {
                    self.put_off(work, &failure).await;
                }
            }
            () = stop.cancelled() => {}
            () = lease::lost(&self.db, &lease, LEASE, RENEW) => {
                tracing::warn!(work = work.id(), "the lease was lost");
                return;
            }
        }
        if lease::release(&self.db, &lease).await.is_err() {
            tracing::debug!(work = work.id(), "the lease ends by itself");
        }
    }

    async fn perform(&self, work: &Work, lease: Option<&Lease>) -> Result<(), Failure> {
        match work {
            Work::Rotation(id) => self.drive.run(id, lease).await,
            Work::Revocation(id) => self.revoker.run(id, lease).await,
            Work::Management(id) => self.keys.run(id).await,
            Work::Release(id) => self.releaser.resume(id).await,
            Work::Offboarding(id) => self.offboarder.run(id).await,
            Work::Campaign(id) => self.campaigns.run(id).await,
            Work::Recovery => {
                self.settler.rounds.run().await?;
                self.settler.run().await
            }
            Work::Versions(id) => {
                let mut reader = store::reader(&self.db).await?;
                let found = store::access::find(&mut reader, id).await?;
                drop(reader);
                match found {
                    Some(access) => self.custody.push(&access, None).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn put_off(&self, work: &Work, failure: &Failure) {
        // A revocation won, or another process has it.
        if matches!(failure.reason, Reason::AccessRevoked | Reason::RevisionMismatch) {
            return;
        }
        tracing::info!(work = work.id(), reason = failure.reason.as_str(), "put off");
        let later = match work {
            Work::Rotation(id) => self.drive.pause(id, PAUSE).await,
            Work::Management(id) => self.keys.pause(id).await,
            Work::Release(id) => self.releaser.pause(id).await,
            Work::Campaign(id) => self.campaigns.put_off(id, CAMPAIGN_PAUSE).await,
            Work::Revocation(_) | Work::Versions(_) | Work::Offboarding(_) | Work::Recovery => {
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
        };
        if later.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
