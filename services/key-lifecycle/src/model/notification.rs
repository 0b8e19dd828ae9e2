//! Who is told of notices, and what became of each message.

use super::{DeliveryState, NotificationKind};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{MessageId, NotificationTargetId, TenantId};
use std::collections::BTreeMap;

/// Somebody who asked to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub id: NotificationTargetId,
    /// None for the platform's, which gets every tenant's events.
    pub tenant: Option<TenantId>,
    pub kind: NotificationKind,
    pub address: String,
    /// None means all.
    pub events: Vec<String>,
    pub salt: String,
    pub secret_check: String,
    pub previous: Option<PreviousSecret>,
    pub created_at: Instant,
    pub created_by: String,
    /// Whether the tenant's own people added it, and not an operator.
    pub own: bool,
    pub last_delivered_at: Option<Instant>,
    pub failing_since: Option<Instant>,
    pub last_error: String,
    /// Its receiver said that it is gone.
    pub disabled: bool,
    pub deleted: bool,
}

/// The secret before the present one; until then it signs too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    pub salt: String,
    pub until: Instant,
}

impl Target {
    pub fn wants(&self, event: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|wanted| wanted == event)
    }
}

/// A notice that nobody was told of yet, as it stands in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    pub dedup: String,
    pub event: String,
    pub tenant: Option<TenantId>,
    pub subject: String,
    pub details: BTreeMap<String, String>,
    pub at: Instant,
}

/// A message, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: MessageId,
    pub to: Recipient,
    /// Of the notice.
    pub dedup: String,
    pub event: String,
    pub tenant: Option<TenantId>,
    pub subject: String,
    pub details: BTreeMap<String, String>,
    pub occurred_at: Instant,
    pub state: DeliveryState,
    pub attempts: u32,
    pub created_at: Instant,
    pub delivered_at: Option<Instant>,
    pub next_at: Option<Instant>,
    pub error: String,
}

/// To whom a message goes; one message at a time goes to each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recipient {
    Target(NotificationTargetId),
    /// A contact of a tenant, by e-mail.
    Contact(String),
}

impl Delivery {
    /// To be sent at once.
    pub fn new(id: MessageId, to: Recipient, notice: &Untold, now: Instant) -> Self {
        Self {
            id,
            to,
            dedup: notice.dedup.clone(),
            event: notice.event.clone(),
            tenant: notice.tenant.clone(),
            subject: notice.subject.clone(),
            details: notice.details.clone(),
            occurred_at: notice.at,
            state: DeliveryState::Pending,
            attempts: 0,
            created_at: now,
            delivered_at: None,
            next_at: Some(now),
            error: String::new(),
        }
    }
}
