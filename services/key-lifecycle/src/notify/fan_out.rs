//! From a notice to one message for each that wants it.
//!
//! Invariant: a notice counts as told in the transaction that writes its messages; a second try writes none twice.

use super::events;
use crate::adapters::credential_store::CredentialStore;
use crate::model::{Delivery, Recipient, Target, Untold};
use crate::store;
use keywright_domain::ids::{MessageId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Tx};
use std::time::Duration;

const AT_ONCE: i64 = 100;
/// Until a tenant's contacts are asked for again.
const LATER: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct FanOut {
    pub db: Db,
    pub store: CredentialStore,
    /// Whether e-mail can be sent at all.
    pub mails: bool,
}

impl FanOut {
    /// Everything that nobody was told of.
    pub async fn run(&self) -> Result<(), Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let notices = store::notice::untold(&mut reader, now, AT_ONCE).await?;
        drop(reader);
        for notice in &notices {
            let recipients = match self.recipients(notice).await {
                Ok(recipients) => Some(recipients),
                Err(failure) => {
                    tracing::info!(
                        reason = failure.reason.as_str(),
                        "a notice waits for its tenant's contacts"
                    );
                    None
                }
            };
            self.db.serialized(|| self.write(notice, recipients.as_deref())).await.map_err(Failure::from)?;
        }
        Ok(())
    }

    async fn recipients(&self, notice: &Untold) -> Result<Vec<Recipient>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let own = match &notice.tenant {
            Some(tenant) => store::notification_target::of(&mut reader, Some(tenant)).await?,
            None => Vec::new(),
        };
        let platform = store::notification_target::of(&mut reader, None).await?;
        drop(reader);
        let mut recipients: Vec<Recipient> =
            own.iter().chain(&platform).filter(|target| gets(target, &notice.event)).map(to).collect();
        let important = events::find(&notice.event).is_some_and(|event| event.important);
        if let Some(tenant) = notice.tenant.as_ref().filter(|_| self.mails && own.is_empty() && important) {
            recipients.extend(self.contacts(tenant).await?.into_iter().map(Recipient::Contact));
        }
        Ok(recipients)
    }

    async fn contacts(&self, tenant: &TenantId) -> Result<Vec<String>, Failure> {
        match self.store.contacts(tenant).await {
            Err(failure) if failure.is(Reason::TenantNotFound) => Ok(Vec::new()),
            answer => answer,
        }
    }

    async fn write(&self, notice: &Untold, recipients: Option<&[Recipient]>) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("who is told of a notice").await?;
        match recipients {
            Some(recipients) => tell(&mut tx, notice, recipients).await?,
            None => {
                let until = tx.now().plus(LATER);
                store::notice::put_off(&mut tx, &notice.dedup, until).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// A message for each, and the notice is told.
pub async fn tell(tx: &mut Tx, notice: &Untold, recipients: &[Recipient]) -> Result<(), Error> {
    for recipient in recipients {
        let message = Delivery::new(MessageId::random()?, recipient.clone(), notice, tx.now());
        store::delivery::insert(tx, &message).await?;
    }
    store::notice::told(tx, &notice.dedup).await?;
    Ok(())
}

/// Whether the target is told of the event.
pub fn gets(target: &Target, event: &str) -> bool {
    !target.disabled && target.wants(event)
}

pub fn to(target: &Target) -> Recipient {
    Recipient::Target(target.id.clone())
}

/// A target of the tenant's own people that messages get through to: whoever must hear of something hears of it there.
/// An operator can change what he added himself.
pub fn reaches_its_people(target: &Target, event: &str) -> bool {
    let in_order = target.failing_since.is_none() && target.last_delivered_at.is_some();
    target.own && in_order && gets(target, event)
}
