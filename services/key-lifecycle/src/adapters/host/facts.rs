//! What is known about a host and one account on it.

use super::files::Loose;
use super::grace::{LocalTime, Skew};
use std::net::IpAddr;

/// The first uid that is not the system's.
const FIRST_ORDINARY_UID: u32 = 1000;
/// `nobody`, and the uid of what has none.
const NOBODY: u32 = 65_534;

/// One line of passwd. Whether an access may use it is the caller's rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub shell: String,
}

impl Account {
    /// uid 0 or of the system: `ACCOUNT_NOT_ALLOWED` for an access.
    pub const fn is_system(&self) -> bool {
        self.uid < FIRST_ORDINARY_UID || self.uid == NOBODY
    }
}

/// The server that serves our connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    OpenSsh,
    Dropbear,
    Unknown,
}

/// How a script gets to the account's uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drop {
    /// We are the account, or it is root.
    NotNeeded,
    Setpriv,
    Su,
    Chroot,
    /// There is no way: nothing can be edited.
    None,
}

/// One file that the server reads for the account, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysFile {
    pub path: String,
}

/// Ways in besides the keys that we manage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResidualAccess {
    ForeignKeys(usize),
    KeysCommand,
    UserCa,
    Password,
}

#[derive(Debug, Clone)]
pub struct Facts {
    /// `None`: the host has no such account.
    pub account: Option<Account>,
    pub server: ServerKind,
    /// Such as `OpenSSH_9.2p1`; the server's own word where it greeted us, else its binary's.
    pub version: Option<String>,
    /// The server's settings for this account could be read; otherwise its defaults are assumed.
    pub settings_read: bool,
    /// The first is where keys are added; keys are removed from all.
    pub files: Vec<KeysFile>,
    /// Without the foreign keys, which only reading the files tells.
    pub residual: Vec<ResidualAccess>,
    /// The server reads a file of revoked keys, whoever's.
    pub revoked_keys: bool,
    pub skew: Option<Skew>,
    /// The end that was asked for, in the host's local time.
    pub local_end: Option<LocalTime>,
    pub drop: Drop,
    /// Our address, as the server sees it.
    pub seen: Option<IpAddr>,
    /// It reads no key where others could have written it; false where its settings could not be read.
    pub strict_modes: bool,
}

impl Facts {
    /// Whether the server reads no key from a file that is as open as this.
    pub fn is_passed_over(&self, loose: Option<Loose>) -> bool {
        match loose {
            None => false,
            // Debian's sshd takes such a group for the account, others do not: the proof tells.
            Some(Loose::OwnGroup) => self.strict_modes && self.server == ServerKind::Dropbear,
            Some(Loose::Others) => self.strict_modes,
        }
    }
}
