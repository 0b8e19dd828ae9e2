//! Tells people of alerts: a tenant's of its own, the platform's of all. One replica does it at a time, oldest first.
//!
//! Invariant: an alert counts as told after the notice is durable; a notice that is written twice is one.

use crate::alerting::alert::Alert;
use crate::store::alert;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Retry;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::notices::{News, Notices};
use keywright_storage::{Db, lease};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const WORK: &str = "alert-notices";
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(30);
const AT_ONCE: i64 = 100;
/// Of a value in a message.
const LONGEST: usize = 300;

#[derive(Clone)]
pub struct Tell {
    pub db: Db,
    pub notices: Notices,
    /// The id of this replica's lease.
    pub holder: String,
}

impl Tell {
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(failure) = self.round().await {
                tracing::debug!(reason = failure.reason.as_str(), "alerts wait to be told");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Everything that is to be told now, unless another replica is at it.
    pub async fn round(&self) -> Result<(), Failure> {
        if alert::untold(&self.db, 1).await?.is_empty() {
            return Ok(());
        }
        let Some(lease) = lease::acquire(&self.db, WORK, &self.holder, LEASE).await? else { return Ok(()) };
        let told = tokio::time::timeout(LEASE, self.tell_all()).await;
        lease::release(&self.db, &lease).await?;
        told.unwrap_or(Ok(()))
    }

    async fn tell_all(&self) -> Result<(), Failure> {
        for alert in alert::untold(&self.db, AT_ONCE).await? {
            self.tell(&alert).await?;
            self.db.serialized(|| self.mark(&alert)).await.map_err(Failure::from)?;
        }
        Ok(())
    }

    /// A notice that is refused for good is not tried for ever; the list has the alert.
    async fn tell(&self, alert: &Alert) -> Result<(), Failure> {
        let tenant = TenantId::parse(&alert.tenant).ok();
        let news = News {
            event: "audit.alert",
            tenant: tenant.as_ref(),
            subject: alert.id.as_str(),
            dedup: alert.id.as_str(),
            details: details(alert),
        };
        match self.notices.tell(news).await {
            Err(failure) if failure.reason.retry() == Retry::AfterDelay => Err(failure),
            Err(failure) => {
                tracing::warn!(alert = %alert.id, reason = failure.reason.as_str(), "an alert is not told");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn mark(&self, it: &Alert) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("people were told of an alert").await?;
        alert::mark_told(&mut tx, it.id.as_str()).await?;
        Ok(tx.commit().await?)
    }
}

/// In words, without what is empty.
fn details(alert: &Alert) -> BTreeMap<String, String> {
    let all = [
        ("alertId", alert.id.to_string()),
        ("rule", alert.rule.clone()),
        ("description", alert.description.clone()),
        (alert.subject_kind.as_str(), alert.subject.clone()),
        ("count", alert.times.to_string()),
        ("eventId", alert.event.clone()),
        ("raisedAt", alert.raised_at.rfc3339()),
    ];
    let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST).collect::<String>();
    let shown = all.iter().map(|(name, value)| ((*name).to_owned(), shown(value)));
    shown.filter(|(_, value)| !value.is_empty()).collect()
}
