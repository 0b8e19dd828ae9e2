//! Has people told of host keys that changed, by key-lifecycle.
//!
//! Invariant: a notice stays here until key-lifecycle has it; what it hears twice it tells once, so that a crash between
//! the two, or another replica, loses and repeats nothing.

use crate::domain::host_key_notice::HostKeyNotice;
use crate::store::host_key_notice;
use keywright_domain::ids::RequestId;
use keywright_domain::reason::Retry;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::notices::{News, Notices};
use keywright_storage::{Db, lease};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const WORK: &str = "host-key-notices";
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(30);
const AT_ONCE: i64 = 100;
/// Until one that key-lifecycle did not accept is tried again: a replica of another version may not know it.
const REFUSED_FOR: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct TellHostKeys {
    pub db: Db,
    pub notices: Notices,
}

impl TellHostKeys {
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(failure) = self.tell().await {
                tracing::debug!(reason = failure.reason.as_str(), "notices of host keys wait");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Everything that is due now, unless another replica is at it.
    pub async fn tell(&self) -> Result<(), Failure> {
        if self.due(1).await?.is_empty() {
            return Ok(());
        }
        let owner = RequestId::random()?;
        let Some(lease) = lease::acquire(&self.db, WORK, owner.as_str(), LEASE).await? else {
            return Ok(());
        };
        let told = tokio::time::timeout(LEASE, self.tell_all()).await;
        lease::release(&self.db, &lease).await?;
        told.unwrap_or(Ok(()))
    }

    async fn due(&self, most: i64) -> Result<Vec<HostKeyNotice>, Failure> {
        let now = self.db.now().await?;
        Ok(host_key_notice::due(&self.db, now, most).await?)
    }

    async fn tell_all(&self) -> Result<(), Failure> {
        for notice in self.due(AT_ONCE).await? {
            let news = News {
                event: notice.event.as_str(),
                tenant: Some(&notice.tenant),
                subject: notice.server.as_str(),
                dedup: notice.id.as_str(),
                details: notice.details.clone(),
            };
            let refused = match self.notices.tell(news).await {
                Ok(()) => None,
                Err(failure) if failure.reason.retry() == Retry::AfterDelay => return Err(failure),
                Err(failure) => Some(failure.reason),
            };
            if let Some(reason) = refused {
                tracing::warn!(
                    reason = reason.as_str(),
                    server = %notice.server,
                    "a notice of a host key is not accepted; it is tried again in a minute"
                );
            }
            let settled = self.db.serialized(|| self.settle(&notice, refused.is_some()));
            settled.await.map_err(Failure::from)?;
        }
        Ok(())
    }

    async fn settle(&self, notice: &HostKeyNotice, refused: bool) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("what was told of a host key").await?;
        if refused {
            let until = tx.now().plus(REFUSED_FOR);
            host_key_notice::put_off(&mut tx, &notice.id, until).await?;
        } else {
            host_key_notice::delete(&mut tx, &notice.id).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
