//! What people are told when a server shows a wrong host key, and when that is settled. Fingerprints and names, no keys.

use super::server::{HostKey, Mismatch, Server};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{EventId, ServerId, TenantId, shown};
use std::collections::BTreeMap;

/// As many fingerprints as fit into one detail of a message.
const MOST_FINGERPRINTS: usize = 8;
const MOST_NAMES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyEvent {
    Mismatch,
    /// Approved again, or re-pinned.
    Resolved,
}

impl HostKeyEvent {
    /// As the contract lists it (CreateNotificationTargetRequest.events).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mismatch => "server.host_key_mismatch",
            Self::Resolved => "server.host_key_resolved",
        }
    }
}

impl TryFrom<String> for HostKeyEvent {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        [Self::Mismatch, Self::Resolved].into_iter().find(|event| event.as_str() == text).ok_or(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyNotice {
    /// Of the audited operation that it tells of: each is told once.
    pub id: EventId,
    pub event: HostKeyEvent,
    pub tenant: TenantId,
    pub server: ServerId,
    pub details: BTreeMap<String, String>,
}

/// What stands around the server.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The name of its jump host.
    pub jump_host: Option<&'a str>,
    /// The names of servers that are reached through it.
    pub behind: &'a [String],
}

impl HostKeyNotice {
    /// `server` as it was pinned when `seen` was shown.
    pub fn mismatch(
        id: &EventId,
        server: &Server,
        seen: &Mismatch,
        caller: &Caller,
        around: Around<'_>,
    ) -> Self {
        let seen_by = caller.acting.map_or(caller.principal.id.as_str(), |service| service.as_str());
        let during = caller.principal.work.as_deref().map(shown).unwrap_or_default();
        Self::new(HostKeyEvent::Mismatch, id, server)
            .with("presented", seen.presented.to_string())
            .with("pinned", fingerprints(&server.host_keys, false))
            .with("trustedAuthorities", fingerprints(&server.host_keys, true))
            .with("seenAt", seen.seen_at.rfc3339())
            .with("seenBy", seen_by.to_owned())
            .with("seenDuring", during.to_owned())
            .with("jumpHost", around.jump_host.unwrap_or_default().to_owned())
            .with("leadsTo", some(around.behind.iter().map(String::clone), MOST_NAMES))
    }

    /// `server` as it is pinned now; `how` it was settled.
    pub fn resolved(
        id: &EventId,
        server: &Server,
        seen: &Mismatch,
        how: &str,
        at: Instant,
        caller: &Caller,
    ) -> Self {
        Self::new(HostKeyEvent::Resolved, id, server)
            .with("how", how.to_owned())
            .with("presented", seen.presented.to_string())
            .with("seenAt", seen.seen_at.rfc3339())
            .with("pinned", fingerprints(&server.host_keys, false))
            .with("trustedAuthorities", fingerprints(&server.host_keys, true))
            .with("resolvedAt", at.rfc3339())
            .with("resolvedBy", caller.principal.id.clone())
    }

    fn new(event: HostKeyEvent, id: &EventId, server: &Server) -> Self {
        let host = match server.host.as_str() {
            address if address.contains(':') => format!("[{address}]:{}", server.port.get()),
            host => format!("{host}:{}", server.port.get()),
        };
        let notice = Self {
            id: id.clone(),
            event,
            tenant: server.tenant.clone(),
            server: server.id.clone(),
            details: BTreeMap::new(),
        };
        notice.with("serverName", server.name.clone()).with("host", host)
    }

    /// Nothing is said of what there is not.
    fn with(mut self, name: &str, value: String) -> Self {
        if !value.is_empty() {
            self.details.insert(name.to_owned(), value);
        }
        self
    }
}

fn fingerprints(pins: &[HostKey], authorities: bool) -> String {
    let wanted = pins.iter().filter(|pin| pin.authority == authorities);
    some(wanted.map(|pin| pin.key.fingerprint().to_string()), MOST_FINGERPRINTS)
}

/// The first ones, and whether there are more.
fn some(all: impl Iterator<Item = String>, most: usize) -> String {
    let mut listed: Vec<String> = all.take(most.saturating_add(1)).collect();
    if listed.len() > most {
        listed.truncate(most);
        listed.push("and more".to_owned());
    }
    listed.join(", ")
}
