//! What somebody may want to be told.

use keywright_domain::ids::TenantId;
use std::collections::BTreeMap;

/// Written in the transaction of what happened; whoever wants it is told later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// For example `rotation.succeeded`; the list stands in the contract (CreateNotificationTargetRequest.events).
    pub event: &'static str,
    /// None for the platform's own.
    pub tenant: Option<TenantId>,
    /// The id it is about.
    pub subject: String,
    /// The same thing is told once.
    pub dedup: String,
    /// Words for the message: ids, names, instants; no secrets.
    pub details: BTreeMap<String, String>,
}

impl Notice {
    /// Told once for this subject and event.
    pub fn new(event: &'static str, tenant: Option<&TenantId>, subject: &str) -> Self {
        Self {
            event,
            tenant: tenant.cloned(),
            subject: subject.to_owned(),
            dedup: format!("{event}/{subject}"),
            details: BTreeMap::new(),
        }
    }

    /// Told again for another occasion, for example another end of grace.
    pub fn occasion(mut self, occasion: &str) -> Self {
        self.dedup = format!("{}/{occasion}", self.dedup);
        self
    }

    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}
