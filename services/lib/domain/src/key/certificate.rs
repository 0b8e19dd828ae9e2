//! OpenSSH certificates (PROTOCOL.certkeys): a key that an authority vouches for, for a while, under some names.
//!
//! Invariants: a certificate is canonical, names one key, and is signed by a plain key; nothing is believed of it before
//! [`Certificate::vouches_for_host`] was asked with the authorities that are trusted.

use super::error::KeyError;
use super::public::PublicKey;
use crate::clock::Instant;
use crate::fingerprint::Fingerprint;
use ssh_key::certificate::CertType;

/// The longest that is looked at, as text or blob.
const MAX_CERTIFICATE: usize = 64 * 1024;
/// In the name of every certificate: a certificate that is signed by a certificate would hold it twice.
const MARKER: &[u8] = b"-cert-v01@";

/// Which of the two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    User,
    Host,
}

/// Why a host is not who its certificate would have it be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    #[error("The server's certificate is signed by an authority that is not trusted for it.")]
    Authority,
    #[error("The server's certificate does not bear its authority's signature.")]
    Signature,
    #[error("The server's certificate is not one for a host.")]
    Kind,
    #[error("The server's certificate is for other hosts.")]
    Name,
    #[error("The server's certificate has expired, or does not hold yet.")]
    Time,
    #[error("The server's certificate asks for something that is not known here.")]
    Option,
}

/// A certificate and the key that it certifies.
#[derive(Clone)]
pub struct Certificate {
    blob: Vec<u8>,
    public_key: PublicKey,
    authority: PublicKey,
    inner: ssh_key::Certificate,
}

impl Certificate {
    /// From the SSH wire form.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        // Reading goes as deep as certificates are nested.
        let names = blob.windows(MARKER.len()).filter(|window| *window == MARKER).count();
        if blob.len() > MAX_CERTIFICATE || names != 1 {
            return Err(KeyError::CertificateUnparsable);
        }
        let bad = |_| KeyError::CertificateUnparsable;
        let inner = ssh_key::Certificate::from_bytes(blob).map_err(bad)?;
        if inner.to_bytes().map_err(bad)? != blob {
            return Err(KeyError::CertificateUnparsable);
        }
        let public_key = PublicKey::from_key_data(inner.public_key().clone())?;
        let authority = PublicKey::from_key_data(inner.signature_key().clone())?;
        Ok(Self { blob: blob.to_vec(), public_key, authority, inner })
    }

    /// From one line of OpenSSH's form (the file `…-cert.pub`); a comment is dropped.
    pub fn parse_openssh(text: &str) -> Result<Self, KeyError> {
        let mut words = text.split_ascii_whitespace();
        let (Some(name), Some(encoded)) = (words.next(), words.next()) else {
            return Err(KeyError::CertificateUnparsable);
        };
        if text.len() > MAX_CERTIFICATE || !name.as_bytes().windows(MARKER.len()).any(|w| w == MARKER) {
            return Err(KeyError::CertificateUnparsable);
        }
        let blob = data_encoding::BASE64.decode(encoded.as_bytes());
        let read = Self::from_blob(&blob.map_err(|_| KeyError::CertificateUnparsable)?)?;
        if read.name() == name { Ok(read) } else { Err(KeyError::CertificateUnparsable) }
    }

    /// For example `ssh-ed25519-cert-v01@openssh.com`.
    pub fn name(&self) -> String {
        format!("{}-cert-v01@openssh.com", self.public_key.algorithm())
    }

    pub fn openssh(&self) -> String {
        format!("{} {}", self.name(), data_encoding::BASE64.encode(&self.blob))
    }

    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The key that is certified.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    pub fn authority(&self) -> Fingerprint {
        self.authority.fingerprint()
    }

    pub fn kind(&self) -> CertificateKind {
        match self.inner.cert_type() {
            CertType::User => CertificateKind::User,
            CertType::Host => CertificateKind::Host,
        }
    }

    pub fn key_id(&self) -> &str {
        self.inner.key_id()
    }

    pub fn serial(&self) -> u64 {
        self.inner.serial()
    }

    pub fn principals(&self) -> &[String] {
        self.inner.valid_principals()
    }

    /// None: always.
    pub fn valid_after(&self) -> Option<Instant> {
        (self.inner.valid_after() > 0).then(|| seconds(self.inner.valid_after()))
    }

    /// None: for ever.
    pub fn valid_before(&self) -> Option<Instant> {
        (self.inner.valid_before() < i64::MAX.unsigned_abs()).then(|| seconds(self.inner.valid_before()))
    }

    pub fn holds_at(&self, now: Instant) -> bool {
        self.valid_after().is_none_or(|from| from <= now) && self.valid_before().is_none_or(|to| now < to)
    }

    /// Whether one of the authorities says that this key is the host's of that name. A certificate without names is good
    /// for any host, and is not believed.
    pub fn vouches_for_host(
        &self,
        name: &str,
        authorities: &[PublicKey],
        now: Instant,
    ) -> Result<(), CertificateFault> {
        if !authorities.contains(&self.authority) {
            return Err(CertificateFault::Authority);
        }
        if self.inner.verify_signature().is_err() || self.rests_on_sha1() {
            return Err(CertificateFault::Signature);
        }
        if self.kind() != CertificateKind::Host {
            return Err(CertificateFault::Kind);
        }
        if !self.principals().iter().any(|principal| principal.eq_ignore_ascii_case(name)) {
            return Err(CertificateFault::Name);
        }
        if !self.holds_at(now) {
            return Err(CertificateFault::Time);
        }
        if self.inner.critical_options().iter().next().is_some() {
            return Err(CertificateFault::Option);
        }
        Ok(())
    }

    fn rests_on_sha1(&self) -> bool {
        self.inner.signature().algorithm().as_str() == "ssh-rsa"
    }

    /// For the transport, which speaks the same types.
    pub const fn as_ssh_certificate(&self) -> &ssh_key::Certificate {
        &self.inner
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({} by {})", self.public_key.fingerprint(), self.authority())
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl Eq for Certificate {}

impl TryFrom<String> for Certificate {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::parse_openssh(&text)
    }
}

fn seconds(since_epoch: u64) -> Instant {
    Instant::from_secs(i64::try_from(since_epoch).unwrap_or(i64::MAX))
}
