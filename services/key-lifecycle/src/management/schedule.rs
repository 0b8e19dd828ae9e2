//! Rotates management keys by themselves before they are older than their maximum age.
//!
//! Invariant: one replica looks at a time; a frozen or suspended tenant's servers, deactivated ones, and everything while a
//! recovery is active, are left alone; after a failure a server is left alone for some hours. The key is the platform's:
//! what a policy says of a tenant's keys is not said of it.

use super::drive::Keys;
use super::plan;
use crate::app::gates;
use crate::model::Management;
use crate::recovery;
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use keywright_storage::lease;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(60);
const WORK: &str = "management-schedule";
/// After an attempt that failed.
const REST: Duration = Duration::from_secs(6 * 3600);
/// Looked at in one round, and begun in one.
const LOOK: i64 = 500;
const BEGIN: usize = 8;

impl Keys {
    /// Until `stop`.
    pub async fn automatic(self, owner: String, wake: Arc<Notify>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let Ok(Some(lease)) = lease::acquire(&self.db, WORK, &owner, LEASE).await else { continue };
            match self.rotate_aged().await {
                Ok(0) => {}
                Ok(_) => wake.notify_one(),
                Err(failure) => tracing::info!(reason = failure.reason.as_str(), "the schedule waits"),
            }
            if lease::release(&self.db, &lease).await.is_err() {
                tracing::debug!("the lease ends by itself");
            }
        }
    }

    /// How many rotations began.
    pub async fn rotate_aged(&self) -> Result<usize, Failure> {
        recovery::refuse_while_active(&self.db).await?;
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let (before, tried) = (now.minus(plan::youngest()), now.minus(REST));
        let aged = store::management::aged(&mut reader, before, tried, LOOK).await?;
        drop(reader);
        let mut begun = 0usize;
        for key in &aged {
            if begun >= BEGIN {
                break;
            }
            match self.rotate_if_due(key).await {
                Ok(true) => begun = begun.saturating_add(1),
                Ok(false) => {}
                Err(failure) => {
                    tracing::info!(server = %key.server, reason = failure.reason.as_str(), "not rotated yet");
                }
            }
        }
        Ok(begun)
    }

    async fn rotate_if_due(&self, key: &Management) -> Result<bool, Failure> {
        let server = match self.store.server(&key.server).await {
            Err(failure) if failure.is(Reason::ServerNotFound) => return Ok(false),
            server => server?,
        };
        let in_use = server.management.as_ref().is_some_and(|(credential, _)| *credential == key.credential);
        if !in_use || gates::usable(&server).is_err() {
            return Ok(false);
        }
        let mut reader = store::reader(&self.db).await?;
        let frozen = store::freeze::is_frozen(&mut reader, &server.tenant).await?;
        let settings = store::policy::platform(&mut reader).await?;
        drop(reader);
        let due = plan::is_due(key, settings.maximum_age, self.db.now().await?);
        if frozen || !settings.automatic_rotation || !due {
            return Ok(false);
        }
        self.store.require_open_tenant(&server.tenant).await?;
        let caller = Caller::background(ServiceName::KeyLifecycle, key.id.as_str());
        self.begin(&caller, &server, "").await.map(|_| true)
    }
}
