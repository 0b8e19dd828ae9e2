//! Who can get into a server, and who did.

use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::ids::{AccessId, ServerId, VersionId};
use serde::{Deserialize, Serialize};

/// What one look at a server's files gave, before anybody judged it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub accounts: Vec<SeenAccount>,
    /// Other ways in: KEYS_COMMAND, USER_CA, PASSWORD, KEYBOARD_INTERACTIVE, EMPTY_PASSWORDS, HOST_BASED.
    pub other_ways: Vec<&'static str>,
    pub settings_read: bool,
    /// Not every account was looked at.
    pub truncated: bool,
    /// Of the host's local time, in seconds east of UTC.
    pub offset_seconds: i32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenAccount {
    pub name: String,
    pub uid: u32,
    pub files: Vec<SeenFile>,
    /// `path: REASON`.
    pub unreadable: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenFile {
    pub path: String,
    pub bytes: Vec<u8>,
}

/// The last scan of a server. The account, the file, the comment and the options are the host's own words, cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerScan {
    pub server: ServerId,
    /// None before the first.
    pub scanned_at: Option<Instant>,
    pub accounts: Vec<ServerAccount>,
    /// By account and line.
    pub keys: Vec<ServerKey>,
    pub other_ways: Vec<String>,
    pub settings_read: bool,
    pub truncated: bool,
    /// Keys that are not as they should be.
    pub drift: u32,
}

impl ServerScan {
    pub fn never(server: &ServerId) -> Self {
        Self {
            server: server.clone(),
            scanned_at: None,
            accounts: Vec::new(),
            keys: Vec::new(),
            other_ways: Vec::new(),
            settings_read: false,
            truncated: false,
            drift: 0,
        }
    }
}

/// One account with keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAccount {
    pub name: String,
    pub root: bool,
    pub keys: u32,
    pub unreadable: Vec<String>,
}

/// One line of an account, or one that should be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKey {
    pub account: String,
    /// Empty where it is missing.
    pub file: String,
    pub line: u32,
    pub class: KeyClass,
    pub flags: Vec<KeyFlag>,
    pub algorithm: String,
    pub bits: u32,
    pub fingerprint: String,
    pub comment: String,
    pub options: Vec<String>,
    /// Empty where it is not ours.
    pub access: String,
    pub version: u32,
    /// Of the first scan that saw it.
    pub first_seen_micros: i64,
    /// Who answers for a tracked one; the adoption's, not the scan's.
    #[serde(skip)]
    pub answered_by: String,
    #[serde(skip)]
    pub note: String,
}

impl ServerKey {
    /// Not as it should be.
    pub fn is_drift(&self) -> bool {
        matches!(self.class, KeyClass::Orphan | KeyClass::Missing) || self.flags.contains(&KeyFlag::Changed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyClass {
    Managed,
    Management,
    Foreign,
    /// Foreign, with somebody who answers for it.
    Tracked,
    /// Ours once; must not be there.
    Orphan,
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyFlag {
    Duplicate,
    Weak,
    Expired,
    UnrestrictedRoot,
    Compromised,
    CertAuthority,
    Changed,
}

impl KeyFlag {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "DUPLICATE",
            Self::Weak => "WEAK",
            Self::Expired => "EXPIRED",
            Self::UnrestrictedRoot => "UNRESTRICTED_ROOT",
            Self::Compromised => "COMPROMISED",
            Self::CertAuthority => "CERT_AUTHORITY",
            Self::Changed => "CHANGED",
        }
    }
}

/// Somebody answers for a foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    pub account: String,
    pub fingerprint: Fingerprint,
    pub answered_by: String,
    pub note: String,
}

/// What the log of one host says of the use of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    pub server: ServerId,
    pub version: VersionId,
    pub access: AccessId,
    pub evidence: super::Evidence,
    pub last_used_at: Option<Instant>,
    /// Empty if none was seen.
    pub source_address: String,
    pub read_at: Instant,
    pub log_since: Option<Instant>,
}

/// A log-in of our own with the key of an access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLogin {
    pub version: VersionId,
    /// 0 through a jump host.
    pub source_port: u16,
    pub proven_at: Instant,
}

/// The lines of a host's log that may tell of keys, as they stand there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogLines {
    /// That name one of the keys.
    pub keys: Vec<String>,
    /// That name the account of the connection which read them.
    pub own: Vec<String>,
    /// The first ones of each log.
    pub first: Vec<String>,
    /// The host's clock, and ours at the same time.
    pub host_time: Option<Instant>,
    pub our_time: Option<Instant>,
    pub offset_seconds: i32,
}
