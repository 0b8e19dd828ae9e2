//! What is recorded of the keys that a server may show.

use keywright_domain::authorized_keys::LineOption;
use keywright_domain::ids::AccessId;
use keywright_domain::key::PublicKey;
use std::collections::HashSet;

/// What is recorded of a server, and of every key that is ours.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Every version that has, or had, its place on the server, and any other that the scan shows.
    pub keys: Vec<KnownKey>,
    /// Of those that comments name, the ones that exist.
    pub accesses: HashSet<AccessId>,
    /// Management keys.
    pub management: Vec<KnownManagement>,
}

/// A version of an access's key.
#[derive(Debug, Clone)]
pub struct KnownKey {
    pub public_key: PublicKey,
    pub access: AccessId,
    pub version: u32,
    pub compromised: bool,
    /// How it stands on this server.
    pub here: Option<Here>,
}

/// A key that has its place on the server.
#[derive(Debug, Clone)]
pub struct Here {
    pub account: String,
    /// It is recorded as installed: its line must be there.
    pub installed: bool,
    /// Nothing is being changed about the access: the line can be compared with what it should be.
    pub settled: bool,
    /// The host is to end it.
    pub ends: bool,
    pub options: Vec<LineOption>,
}

#[derive(Debug, Clone)]
pub struct KnownManagement {
    pub public_key: PublicKey,
    /// Where it belongs on this server; None for another server's, or one that was given up.
    pub account: Option<String>,
}
