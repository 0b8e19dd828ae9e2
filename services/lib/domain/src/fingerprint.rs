//! The SHA256 fingerprint of a public key, as `ssh-keygen -lf` writes it.

use std::fmt;

/// `SHA256:` and 43 characters of unpadded base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA256 fingerprint (SHA256: and 43 characters of base64)")]
pub struct BadFingerprint;

impl Fingerprint {
    pub fn parse(text: &str) -> Result<Self, BadFingerprint> {
        let encoded = text.trim().strip_prefix("SHA256:").ok_or(BadFingerprint)?;
        let bytes = data_encoding::BASE64_NOPAD.decode(encoded.as_bytes()).map_err(|_| BadFingerprint)?;
        if bytes.len() == 32 { Ok(Self(text.trim().to_owned())) } else { Err(BadFingerprint) }
    }

    /// Of a public key in the SSH wire form.
    pub fn of_blob(blob: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, blob);
        Self(format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(digest.as_ref())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = BadFingerprint;
    fn try_from(text: String) -> Result<Self, BadFingerprint> {
        Self::parse(&text)
    }
}
