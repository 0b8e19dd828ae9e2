//! Which host keys of a server are believed before a login.

use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::host::KnownHost;
use keywright_domain::key::PublicKey;

pub enum KnownKeys {
    /// The keys pinned with a registered server.
    Pinned(KnownHost),
    /// Fingerprints that the caller of a draft test vouches for.
    Expected(Vec<Fingerprint>),
}

impl KnownKeys {
    /// What can be judged during a handshake.
    pub fn pins(&self) -> KnownHost {
        match self {
            Self::Pinned(known) => known.clone(),
            Self::Expected(_) => KnownHost::default(),
        }
    }
}

/// For people: `SHA256:…, SHA256:…`.
pub fn fingerprints(keys: &[PublicKey]) -> String {
    keys.iter().map(|key| key.fingerprint().to_string()).collect::<Vec<_>>().join(", ")
}
