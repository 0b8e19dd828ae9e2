//! The comment line of our own that carries the revision: `# keywright:acc_... rev=7`, and which options on our lines
//! a policy put there: `# keywright:acc_... rev=7 set=from,restrict`.
//!
//! It outlives our key lines, so that a script which comes late cannot bring an old state back. What it says of options
//! is what tells those of a policy, which go with it, from those that somebody put on our lines by hand, which stay.

use super::line::{Document, Line};
use crate::ids::{AccessId, ManagementId};
use std::collections::BTreeSet;
use std::fmt;

/// Whose lines these are: the id of an access (`acc_...`) or of a management key (`mgt_...`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an owner of lines")]
pub struct BadOwner;

impl Owner {
    pub fn parse(id: &str) -> Result<Self, BadOwner> {
        let fits = (1..=64).contains(&id.len());
        let plain = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if fits && plain { Ok(Self(id.to_owned())) } else { Err(BadOwner) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The comment of a key line.
    pub fn comment(&self, version: u32) -> String {
        format!("{self}:v{version}")
    }

    /// The version that the comment of a key line tells; a hint, no more.
    pub(super) fn hinted_version(&self, comment: &[u8]) -> Option<u32> {
        let word = std::str::from_utf8(comment).ok()?.split_whitespace().next()?;
        word.strip_prefix("keywright:")?.strip_prefix(self.as_str())?.strip_prefix(":v")?.parse().ok()
    }

    /// `set`: names of options, in lower case.
    pub(super) fn marker(&self, revision: u64, set: &BTreeSet<String>) -> String {
        let names: Vec<&str> = set.iter().map(String::as_str).collect();
        let set = if names.is_empty() { String::new() } else { format!(" set={}", names.join(",")) };
        format!("# {self} rev={revision}{set}")
    }

    pub(super) fn read_marker(&self, line: &Line<'_>) -> Option<Marker> {
        let text = std::str::from_utf8(line.text()).ok()?;
        let rest = text.trim().strip_prefix('#')?.trim_start();
        let rest = rest.strip_prefix("keywright:")?.strip_prefix(self.as_str())?;
        let mut words = rest.strip_prefix([' ', '\t'])?.split_whitespace();
        let revision = words.next()?.strip_prefix("rev=")?.parse().unwrap_or(0);
        let names = words.next().and_then(|word| word.strip_prefix("set=")).unwrap_or_default();
        let set = names.split(',').filter(|name| !name.is_empty()).map(str::to_ascii_lowercase);
        Some(Marker { revision, set: set.collect() })
    }
}

/// What a marker line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    /// 0 where the number was damaged.
    pub(super) revision: u64,
    /// Options that were put on our lines by policy, by name in lower case.
    pub(super) set: BTreeSet<String>,
}

impl From<&AccessId> for Owner {
    fn from(id: &AccessId) -> Self {
        Self(id.to_string())
    }
}

impl From<&ManagementId> for Owner {
    fn from(id: &ManagementId) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keywright:{}", self.0)
    }
}

/// The revision that the file carries for this owner.
pub fn revision(file: &[u8], owner: &Owner) -> Option<u64> {
    Document::parse(file).lines().iter().filter_map(|line| Some(owner.read_marker(line)?.revision)).max()
}
