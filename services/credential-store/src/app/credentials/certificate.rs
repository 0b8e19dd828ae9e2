//! The certificate of a saved credential, as it comes.

use keywright_domain::key::{Certificate, CertificateKind, PublicKey};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;

const FIELD: &str = "certificate";

/// None for empty text. Whether it still holds is for the server to say that is logged in to.
pub(super) fn parse(text: &str) -> Result<Option<Certificate>, Failure> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let certificate =
        Certificate::parse_openssh(text).map_err(|error| Failure::violation(FIELD, error.to_string()))?;
    match certificate.kind() {
        CertificateKind::User => Ok(Some(certificate)),
        CertificateKind::Host => Err(Failure::violation(FIELD, "is one for a host, not for a user")),
    }
}

/// It must be of this very key.
pub(super) fn require_of(key: &PublicKey, certificate: Option<&Certificate>) -> Result<(), Failure> {
    if certificate.is_none_or(|certificate| certificate.public_key() == key) {
        return Ok(());
    }
    let message = "The certificate is of another key; have this credential's key certified.";
    Err(Failure::new(Reason::PublicKeyMismatch, message).with("fingerprint", key.fingerprint().as_str()))
}
