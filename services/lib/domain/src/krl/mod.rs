//! OpenSSH's key revocation list (PROTOCOL.krl), written; and the text form that `RevokedKeys` reads as well.
//!
//! Invariants: the same keys under the same head give the same bytes, in whatever order they come; each key is named
//! whole, since that is what every OpenSSH with revocation lists (6.2 and later) reads; a list without keys is a valid
//! list.

use crate::key::PublicKey;
use std::collections::BTreeSet;

const MAGIC: &[u8; 8] = b"SSHKRL\n\0";
const FORMAT_VERSION: u32 = 1;
const SECTION_EXPLICIT_KEY: u8 = 2;
/// By what a host knows a list of ours.
pub const COMMENT: &str = "keywright:";

/// What stands in the head of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Grows with every change.
    pub version: u64,
    /// Seconds since the epoch.
    pub generated_at: u64,
    /// The server group; shown by `ssh-keygen -Q -l` after [`COMMENT`].
    pub group: &'a str,
}

/// The keys of a list: each once, in the order of their wire form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedKeys(BTreeSet<Vec<u8>>);

impl<'a> FromIterator<&'a PublicKey> for RevokedKeys {
    fn from_iter<I: IntoIterator<Item = &'a PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| key.blob().to_vec()).collect())
    }
}

impl FromIterator<PublicKey> for RevokedKeys {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| key.blob().to_vec()).collect())
    }
}

impl RevokedKeys {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The binary form.
    pub fn encode(&self, head: &Head<'_>) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        out.extend_from_slice(&head.version.to_be_bytes());
        out.extend_from_slice(&head.generated_at.to_be_bytes());
        // No flags are defined.
        out.extend_from_slice(&0u64.to_be_bytes());
        string(&mut out, b"");
        string(&mut out, format!("{COMMENT}{}", head.group).as_bytes());
        if self.0.is_empty() {
            return out;
        }
        let mut section = Vec::with_capacity(self.0.iter().map(|blob| blob.len().saturating_add(4)).sum());
        for blob in &self.0 {
            string(&mut section, blob);
        }
        out.push(SECTION_EXPLICIT_KEY);
        string(&mut out, &section);
        out
    }

    /// The text form: a comment, then one public key a line.
    pub fn text(&self, head: &Head<'_>) -> String {
        let mut out = format!("# {COMMENT}{} version {}\n", head.group, head.version);
        for key in self.0.iter().filter_map(|blob| PublicKey::from_blob(blob).ok()) {
            out.push_str(&key.openssh());
            out.push('\n');
        }
        out
    }
}

/// Lengths stay far below 4 GiB: a key is at most some kilobytes.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
