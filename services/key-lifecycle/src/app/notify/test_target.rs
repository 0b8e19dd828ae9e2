//! Sends a test message, once, while the caller waits.

use super::allowed;
use crate::model::{Delivery, Untold};
use crate::notify::deliver::Deliverer;
use crate::notify::{events, fan_out};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::MessageId;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::rate::{Quota, Rate};
use keywright_storage::{Db, Intent, Outcome};
use std::sync::Arc;
use tracing::instrument;

/// Of one target: it is no way to send mail to strangers.
pub const TESTS: Quota = Quota::per_minute(6);

#[derive(Clone)]
pub struct TestTarget {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub deliverer: Deliverer,
    pub rate: Arc<Rate>,
}

impl TestTarget {
    /// How it went. A target that was switched off works again where it went well.
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<Delivery, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let target = allowed(&mut reader, &self.guard, caller, "notification.test", id).await?;
        drop(reader);
        self.rate.take(target.id.as_str(), "This target is tested more often than six times a minute.")?;
        let entry = Entry::new("notification.test").tenant(target.tenant.as_ref()).target(target.id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let message = MessageId::random()?;
        let now = self.db.now().await?;
        let notice = Untold {
            dedup: format!("test/{message}"),
            event: events::TEST.name.to_owned(),
            tenant: target.tenant.clone(),
            subject: target.id.to_string(),
            details: Default::default(),
            at: now,
        };
        // Sent here and nowhere else.
        let delivery =
            Delivery { next_at: None, ..Delivery::new(message, fan_out::to(&target), &notice, now) };
        let result = self.db.serialized(|| self.insert(&delivery, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result?;
        self.deliverer.run(delivery, false).await
    }

    async fn insert(&self, delivery: &Delivery, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        store::delivery::insert(&mut tx, delivery).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }
}
