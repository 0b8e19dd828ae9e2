//! The verdict on a host key.
//!
//! Invariant: three-valued. "Unknown" means that nothing is pinned; a server that shows any other key than a pinned
//! one is a mismatch, also when the key is of another kind.

use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::key::PublicKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyVerdict {
    /// The presented key is one of the pinned ones.
    Pinned,
    /// Nothing is pinned yet.
    Unknown { presented: Fingerprint },
    /// Something else is pinned.
    Mismatch { presented: Fingerprint, pinned: Vec<Fingerprint> },
}

impl HostKeyVerdict {
    pub(crate) fn on(presented: &PublicKey, pins: &[PublicKey]) -> Self {
        if pins.contains(presented) {
            Self::Pinned
        } else if pins.is_empty() {
            Self::Unknown { presented: presented.fingerprint() }
        } else {
            Self::Mismatch {
                presented: presented.fingerprint(),
                pinned: pins.iter().map(PublicKey::fingerprint).collect(),
            }
        }
    }
}
