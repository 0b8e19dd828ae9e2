//! Tells changes: to people by key-lifecycle's notices, and in the log. One replica does it at a time, oldest first.

use super::StateChange;
use crate::store::{self, state_change};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::reason::Retry;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::notices::{News, Notices};
use keywright_storage::{Db, Intent, Outcome, lease};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const WORK: &str = "state-changes";
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(30);
const AT_ONCE: i64 = 100;

#[derive(Clone)]
pub struct Teller {
    pub db: Db,
    pub audit: Audit,
    pub notices: Notices,
    /// The id of this replica's lease.
    pub holder: String,
}

impl Teller {
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(failure) = self.tell().await {
                tracing::debug!(
                    reason = failure.reason.as_str(),
                    "changes of servers' states wait to be told"
                );
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn tell(&self) -> Result<(), Failure> {
        if self.untold(1).await?.is_empty() {
            return Ok(());
        }
        let Some(lease) = lease::acquire(&self.db, WORK, &self.holder, LEASE).await? else { return Ok(()) };
        let told = tokio::time::timeout(LEASE, self.tell_all()).await;
        lease::release(&self.db, &lease).await?;
        told.unwrap_or(Ok(()))
    }

    async fn untold(&self, most: i64) -> Result<Vec<StateChange>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        Ok(state_change::untold(&mut reader, most).await?)
    }

    async fn tell_all(&self) -> Result<(), Failure> {
        for change in self.untold(AT_ONCE).await? {
            self.tell_people(&change).await?;
            let caller = Caller::background(ServiceName::ConnectivityProbe, change.test.as_str());
            let mut entry = Entry::new("server.state_change")
                .tenant(Some(&change.tenant))
                .target(change.server.as_str())
                .detail("testId", change.test.as_str());
            for (name, value) in details(&change) {
                entry = entry.detail(name, value);
            }
            let intent = self.audit.intend(&caller, entry).await?;
            let done = self.db.serialized(|| self.mark(&change, &intent)).await.map_err(Failure::from);
            self.audit.conclude(&self.db, &intent, &done).await;
            done?;
        }
        Ok(())
    }

    /// A notice that is refused for good is not tried for ever; the log has the change.
    async fn tell_people(&self, change: &StateChange) -> Result<(), Failure> {
        let news = News {
            event: "server.state_changed",
            tenant: Some(&change.tenant),
            subject: change.server.as_str(),
            dedup: change.test.as_str(),
            details: details(change).into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        match self.notices.tell(news).await {
            Err(failure) if failure.reason.retry() == Retry::AfterDelay => Err(failure),
            Err(failure) => {
                tracing::warn!(reason = failure.reason.as_str(), "a change of a server's state is not told");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn mark(&self, change: &StateChange, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        state_change::mark_told(&mut tx, &change.test).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// In words, without what is empty.
fn details(change: &StateChange) -> BTreeMap<&'static str, String> {
    let all = [
        ("serverName", change.name.clone()),
        ("from", change.from.status.as_str().to_owned()),
        ("fromReason", change.from.reason.clone()),
        ("to", change.to.status.as_str().to_owned()),
        ("toReason", change.to.reason.clone()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
