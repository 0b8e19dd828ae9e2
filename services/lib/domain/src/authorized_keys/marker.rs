//! The comment line of our own that carries the revision: `# keywright:acc_... rev=7`.
//!
//! It outlives our key lines, so that a script which comes late cannot bring an old state back.

use super::line::{Document, Line};
use crate::ids::{AccessId, ManagementId};
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

    pub(super) fn marker(&self, revision: u64) -> String {
        format!("# {self} rev={revision}")
    }

    /// The revision of a marker line of this owner; 0 where the number was damaged.
    pub(super) fn read_marker(&self, line: &Line<'_>) -> Option<u64> {
        let text = std::str::from_utf8(line.text()).ok()?;
        let rest = text.trim().strip_prefix('#')?.trim_start();
        let rest = rest.strip_prefix("keywright:")?.strip_prefix(self.as_str())?;
        let number = rest.strip_prefix([' ', '\t'])?.trim_start().strip_prefix("rev=")?;
        Some(number.trim_end().parse().unwrap_or(0))
    }
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
    Document::parse(file).lines().iter().filter_map(|line| owner.read_marker(line)).max()
}
