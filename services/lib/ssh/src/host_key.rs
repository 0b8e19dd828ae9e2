//! The verdict on a host key.
//!
//! Invariant: three-valued. "Unknown" means that nothing is pinned; a server that shows any other key than a pinned
//! one is a mismatch, also when the key is of another kind.

use keywright_domain::clock::Clock;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::host::KnownHost;
use keywright_domain::key::{Certificate, CertificateFault, PublicKey};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyVerdict {
    /// The presented key is one of the pinned ones, or certified by a trusted authority.
    Pinned,
    /// Nothing is pinned yet.
    Unknown { presented: Fingerprint },
    /// Something else is pinned.
    Mismatch { presented: Fingerprint, pinned: Vec<Fingerprint> },
    /// A certificate was presented that proves nothing.
    Uncertified { presented: Fingerprint, authority: Fingerprint, fault: CertificateFault },
}

/// What a verdict rests on.
pub(crate) struct Judge {
    pub(crate) known: KnownHost,
    /// As it was named when it was resolved.
    pub(crate) host: String,
    pub(crate) clock: Clock,
}

impl Judge {
    pub(crate) fn on_key(&self, presented: &PublicKey) -> HostKeyVerdict {
        if self.known.keys.contains(presented) {
            HostKeyVerdict::Pinned
        } else if self.known.is_empty() {
            HostKeyVerdict::Unknown { presented: presented.fingerprint() }
        } else {
            let pinned = self.known.keys.iter().chain(&self.known.authorities);
            HostKeyVerdict::Mismatch {
                presented: presented.fingerprint(),
                pinned: pinned.map(PublicKey::fingerprint).collect(),
            }
        }
    }

    /// A pinned key stays one when it comes in a certificate, whatever that is worth.
    pub(crate) fn on_certificate(&self, certificate: &Certificate) -> HostKeyVerdict {
        let presented = certificate.public_key();
        if self.known.keys.contains(presented) {
            return HostKeyVerdict::Pinned;
        }
        match certificate.vouches_for_host(&self.host, &self.known.authorities, self.clock.now()) {
            Ok(()) => HostKeyVerdict::Pinned,
            Err(fault) => HostKeyVerdict::Uncertified {
                presented: presented.fingerprint(),
                authority: certificate.authority(),
                fault,
            },
        }
    }
}
