//! Revocation lists: which groups there are, what a list holds, and the files of hosts that hold one.

use keywright_domain::clock::Instant;
use keywright_domain::ids::{ServerId, TenantId};
use keywright_domain::krl::Head;
use sha2::{Digest, Sha256};

/// For whom a list is read: all of it, or what concerns one tenant's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub group: String,
    pub tenant: Option<TenantId>,
}

impl Scope {
    /// As it stands in a statement: empty for everybody's.
    pub fn tenant(&self) -> &str {
        self.tenant.as_ref().map_or("", TenantId::as_str)
    }
}

/// What can be said of a list without reading its keys.
///
/// A key that is in a list never leaves it, so the number of keys is a version that grows with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListState {
    pub keys: u64,
    /// The last revocation in it; the epoch where there is none.
    pub changed_at: Instant,
}

impl ListState {
    pub fn etag(&self, scope: &Scope) -> String {
        // The first word changes with the encoding.
        let text = format!("1|{}|{}|{}|{}", scope.group, scope.tenant(), self.keys, self.changed_at.micros());
        let digest = Sha256::digest(text.as_bytes());
        data_encoding::HEXLOWER.encode(digest.as_slice().get(..16).unwrap_or_default())
    }

    pub fn head<'a>(&self, group: &'a str) -> Head<'a> {
        Head { version: self.keys, generated_at: u64::try_from(self.changed_at.secs()).unwrap_or(0), group }
    }
}

/// A group with what its list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub servers: u64,
    pub list: ListState,
    pub etag: String,
}

/// The RevokedKeys file of a managed server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFile {
    pub server: ServerId,
    /// Empty where its sshd reads none that is Keywright's.
    pub path: String,
    pub etag: String,
    pub reason: String,
    pub attempts: u32,
    pub next_at: Instant,
}
