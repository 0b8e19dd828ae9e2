//! A machine that is reached by SSH, with what is pinned, bound and known of it.

use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::host::{HostName, Port};
use keywright_domain::ids::{CredentialId, ServerId, TenantId};
use keywright_domain::key::PublicKey;
use std::collections::BTreeMap;

/// Servers on the way to another one.
pub const MOST_JUMP_HOSTS: usize = 4;

/// What a binding shows before a test has run with it.
pub const UNVERIFIED: &str = "UNVERIFIED";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    Active,
    /// Takes no new work; one-way.
    Inactive,
}

impl Lifecycle {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }
}

impl TryFrom<String> for Lifecycle {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        [Self::Active, Self::Inactive].into_iter().find(|lifecycle| lifecycle.as_str() == text).ok_or(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    pub key: PublicKey,
    /// Not the host's own: certificates that it signed for the host are believed.
    pub authority: bool,
    pub approved_at: Instant,
    pub approved_by: String,
}

/// The saved credential that tests and deployments use; resolved when used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub credential: CredentialId,
    /// The binding's own user, else the credential's; empty where neither names one any more.
    pub username: String,
    pub test_status: String,
    pub last_test: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Management {
    pub credential: CredentialId,
    pub username: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    pub server_version: String,
    pub seen_at: Instant,
}

/// A host key that was shown in place of a pinned one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub presented: Fingerprint,
    pub seen_at: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub id: ServerId,
    pub tenant: TenantId,
    pub name: String,
    pub host: HostName,
    pub port: Port,
    pub group: String,
    pub labels: BTreeMap<String, String>,
    pub lifecycle: Lifecycle,
    pub host_keys: Vec<HostKey>,
    /// Until an approval or a re-pin nothing logs in.
    pub mismatch: Option<Mismatch>,
    /// None: it is reached directly.
    pub jump_host: Option<ServerId>,
    pub binding: Option<Binding>,
    pub management: Option<Management>,
    pub capabilities: Option<Capabilities>,
    pub created_at: Instant,
    pub revision: i64,
}
