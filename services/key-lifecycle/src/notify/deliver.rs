//! One try to send one message, and what is remembered of it.
//!
//! Invariant: the message's id is the same in every try; it counts as delivered only after its receiver took it, and
//! nothing is given up that the log does not tell of.

use super::message;
use super::signature::Keyring;
use crate::adapters::mail::Mailer;
use crate::model::{Delivery, DeliveryState, NotificationKind, Recipient, Target};
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::{Instant, fill_random};
use keywright_domain::secret::Secret;
use keywright_egress::signature::sign_with_each;
use keywright_egress::{Endpoint, Post, Webhooks};
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::time::Duration;
use tracing::instrument;

/// A try takes at most this long, whatever the receiver does.
pub const LONGEST_TRY: Duration = Duration::from_secs(15);

/// Until the last try is repeated, where the log did not answer.
const UNTIL_LOGGED: Duration = Duration::from_secs(21_600);

/// What lies between the tries, in seconds: three days in all.
const PAUSES: &[u64] = &[
    5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 21_600, 21_600, 21_600, 21_600, 21_600, 21_600, 21_600,
    21_600, 21_600, 21_600, 21_600,
];

#[derive(Clone)]
pub struct Deliverer {
    pub db: Db,
    pub audit: Audit,
    pub webhooks: Webhooks,
    pub mailer: Option<Mailer>,
    pub keyring: Keyring,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    Accepted,
    /// Nobody is there any more and wants to be told so.
    Gone,
    /// In our words.
    Failed(String),
    /// Nobody is to be told.
    Dropped,
}

impl Deliverer {
    /// Sends it and remembers how that went; answers the message as it is then.
    #[instrument(skip_all, fields(message = %delivery.id))]
    pub async fn run(&self, delivery: Delivery, again: bool) -> Result<Delivery, Failure> {
        let target = self.target(&delivery).await?;
        let now = self.db.now().await?;
        let sending = self.send(&delivery, target.as_ref(), now);
        let sent = match tokio::time::timeout(LONGEST_TRY, sending).await {
            Ok(sent) => sent,
            Err(_) => Sent::Failed("no answer within 15 seconds".to_owned()),
        };
        if let Sent::Failed(error) = &sent {
            tracing::info!(error, attempts = delivery.attempts, "a message was not delivered");
        }
        let mut pause = if again { pause(delivery.attempts)? } else { None };
        let mut intent = None;
        if let (Sent::Failed(error), true, None) = (&sent, again, pause) {
            match self.giving_up(&delivery, target.as_ref(), error).await {
                Ok(durable) => intent = Some(durable),
                Err(_) => pause = Some(UNTIL_LOGGED),
            }
        }
        let recorded =
            self.db.serialized(|| self.record(&delivery, target.as_ref(), &sent, pause, intent.as_ref()));
        let result = recorded.await.map_err(Failure::from);
        if let Some(intent) = &intent {
            self.audit.conclude(&self.db, intent, &result).await;
        }
        result
    }

    async fn giving_up(
        &self,
        delivery: &Delivery,
        target: Option<&Target>,
        error: &str,
    ) -> Result<Intent, Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, delivery.id.as_str());
        let (tenant, about) = match target {
            Some(target) => (target.tenant.as_ref(), target.id.as_str()),
            None => (delivery.tenant.as_ref(), delivery.id.as_str()),
        };
        let entry = Entry::new("notification.give_up").tenant(tenant).target(about);
        let entry = entry.detail("messageId", delivery.id.as_str()).detail("event", &delivery.event);
        self.audit.intend(&caller, entry.detail("error", error)).await
    }

    async fn target(&self, delivery: &Delivery) -> Result<Option<Target>, Failure> {
        let Recipient::Target(id) = &delivery.to else { return Ok(None) };
        let mut reader = store::reader(&self.db).await?;
        Ok(store::notification_target::find(&mut reader, id).await?)
    }

    async fn send(&self, delivery: &Delivery, target: Option<&Target>, now: Instant) -> Sent {
        match (&delivery.to, target) {
            (Recipient::Contact(address), _) => self.mail(delivery, address, now).await,
            (Recipient::Target(_), None) => Sent::Dropped,
            (_, Some(target)) if target.deleted && delivery.event != store::delivery::OWED => Sent::Dropped,
            (_, Some(target)) => match target.kind {
                NotificationKind::Email => self.mail(delivery, &target.address, now).await,
                NotificationKind::Webhook => self.post(delivery, target, now).await,
            },
        }
    }

    async fn mail(&self, delivery: &Delivery, address: &str, now: Instant) -> Sent {
        let Some(mailer) = &self.mailer else {
            return Sent::Failed("e-mail is not set up on this server".to_owned());
        };
        match mailer.send(delivery.id.as_str(), address, message::letter(delivery), now).await {
            Ok(()) => Sent::Accepted,
            Err(error) => Sent::Failed(error.to_owned()),
        }
    }

    async fn post(&self, delivery: &Delivery, target: &Target, now: Instant) -> Sent {
        let Ok(endpoint) = Endpoint::parse(&target.address) else {
            return Sent::Failed("its address cannot be read".to_owned());
        };
        let secrets = match self.secrets(target, now) {
            Ok(secrets) => secrets,
            Err(why) => return Sent::Failed(why.to_owned()),
        };
        let body = message::webhook(delivery);
        let signature = sign_with_each(&secrets, delivery.id.as_str(), now, &body);
        let post = Post {
            id: delivery.id.as_str(),
            timestamp: now.secs(),
            signature: &signature,
            content_type: "application/json",
            body,
        };
        match self.webhooks.post(&endpoint, post).await {
            Ok(200..=299) => Sent::Accepted,
            Ok(410) => Sent::Gone,
            Ok(300..=399) => Sent::Failed("a redirect, which is not followed".to_owned()),
            Ok(status) => Sent::Failed(format!("the receiver answered {status}")),
            Err(error) => Sent::Failed(error.to_owned()),
        }
    }

    /// What signs: the target's secret and, for a day, the one before it.
    fn secrets(&self, target: &Target, now: Instant) -> Result<Vec<Secret>, &'static str> {
        let derive = |salt: &str| self.keyring.derive(&target.id, salt).ok_or("its secret cannot be made");
        let (secret, check) = derive(&target.salt)?;
        if check != target.secret_check {
            return Err("the installation's notification key is another now: rotate the target's secret");
        }
        let mut secrets = vec![secret];
        if let Some(previous) = target.previous.as_ref().filter(|previous| now < previous.until) {
            secrets.push(derive(&previous.salt)?.0);
        }
        Ok(secrets)
    }

    async fn record(
        &self,
        delivery: &Delivery,
        target: Option<&Target>,
        sent: &Sent,
        pause: Option<Duration>,
        intent: Option<&Intent>,
    ) -> Result<Delivery, Error> {
        let mut tx = match intent {
            Some(intent) => self.db.begin(intent).await?,
            None => self.db.begin_internal("how a message fared").await?,
        };
        let mut delivery = delivery.clone();
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.next_at = None;
        let about = target.map(|target| &target.id);
        match sent {
            Sent::Accepted => {
                delivery.state = DeliveryState::Delivered;
                delivery.delivered_at = Some(tx.now());
                delivery.error.clear();
                if let Some(id) = about {
                    store::notification_target::works(&mut tx, id).await?;
                }
            }
            Sent::Gone => {
                delivery.state = DeliveryState::Failed;
                delivery.error =
                    "the receiver says that it is gone (410): nothing more is sent to it".to_owned();
                if let Some(id) = about {
                    store::notification_target::fails(&mut tx, id, &delivery.error, true).await?;
                    store::delivery::give_up(&mut tx, id, &delivery.error).await?;
                }
            }
            Sent::Failed(error) => {
                delivery.error.clone_from(error);
                delivery.next_at = pause.map(|pause| tx.now().plus(pause));
                let over = delivery.next_at.is_none();
                delivery.state = if over { DeliveryState::Failed } else { DeliveryState::Pending };
                if let Some(id) = about {
                    store::notification_target::fails(&mut tx, id, error, false).await?;
                }
            }
            Sent::Dropped => {
                delivery.state = DeliveryState::Failed;
                "the target was removed".clone_into(&mut delivery.error);
            }
        }
        store::delivery::update(&mut tx, &delivery).await?;
        if let Some(intent) = intent {
            intent.done(&mut tx, Outcome::succeeded()).await?;
        }
        tx.commit().await?;
        Ok(delivery)
    }
}

/// Until the next try after so many; none after the last. A fifth more or less, so that not everybody comes at once.
fn pause(attempts: u32) -> Result<Option<Duration>, Failure> {
    let Some(seconds) = usize::try_from(attempts).ok().and_then(|index| PAUSES.get(index)) else {
        return Ok(None);
    };
    let mut random = [0u8; 2];
    fill_random(&mut random)?;
    let share = f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX);
    Ok(Some(Duration::from_secs(*seconds).mul_f64(0.8 + 0.4 * share)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_and_end_after_three_days() {
        assert!(PAUSES.is_sorted() && PAUSES.first() == Some(&5) && PAUSES.last() == Some(&21_600));
        let days = PAUSES.iter().sum::<u64>() / (24 * 3600);
        assert_eq!(days, 3);
        let first = pause(0).unwrap().unwrap();
        assert!((4.0..=6.0).contains(&first.as_secs_f64()), "{first:?}");
        assert_eq!(pause(u32::try_from(PAUSES.len()).unwrap()).unwrap(), None);
    }
}
