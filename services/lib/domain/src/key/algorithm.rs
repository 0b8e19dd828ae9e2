//! The algorithms that exist here, by their SSH names.

use super::error::KeyError;
use std::fmt;

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Rsa,
}

impl KeyAlgorithm {
    pub const ALL: &'static [Self] =
        &[Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::EcdsaP521, Self::Rsa];

    /// The name in a key blob, in authorized_keys and in known_hosts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::Rsa => "ssh-rsa",
        }
    }

    /// A certificate's name answers `CertificateGiven`, any other foreign name `Unsupported`.
    pub fn parse(name: &str) -> Result<Self, KeyError> {
        match Self::ALL.iter().find(|known| known.as_str() == name) {
            Some(known) => Ok(*known),
            None if name.contains("-cert-v0") => Err(KeyError::CertificateGiven),
            None => Err(KeyError::Unsupported),
        }
    }

    /// What a key of this kind signs with when nothing else was negotiated.
    pub const fn default_signature(self) -> SignatureAlgorithm {
        match self {
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
            Self::EcdsaP256 => SignatureAlgorithm::EcdsaP256,
            Self::EcdsaP384 => SignatureAlgorithm::EcdsaP384,
            Self::EcdsaP521 => SignatureAlgorithm::EcdsaP521,
            Self::Rsa => SignatureAlgorithm::RsaSha512,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for KeyAlgorithm {
    type Error = KeyError;
    fn try_from(name: String) -> Result<Self, KeyError> {
        Self::parse(&name)
    }
}

/// The algorithm of one signature. `ssh-rsa` (SHA-1) does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    RsaSha256,
    RsaSha512,
}

impl SignatureAlgorithm {
    pub const ALL: &'static [Self] =
        &[Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::EcdsaP521, Self::RsaSha256, Self::RsaSha512];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::RsaSha256 => "rsa-sha2-256",
            Self::RsaSha512 => "rsa-sha2-512",
        }
    }

    pub fn parse(name: &str) -> Result<Self, KeyError> {
        Self::ALL.iter().find(|known| known.as_str() == name).copied().ok_or(KeyError::SignatureAlgorithm)
    }

    /// The kind of key that makes such signatures.
    pub const fn key_algorithm(self) -> KeyAlgorithm {
        match self {
            Self::Ed25519 => KeyAlgorithm::Ed25519,
            Self::EcdsaP256 => KeyAlgorithm::EcdsaP256,
            Self::EcdsaP384 => KeyAlgorithm::EcdsaP384,
            Self::EcdsaP521 => KeyAlgorithm::EcdsaP521,
            Self::RsaSha256 | Self::RsaSha512 => KeyAlgorithm::Rsa,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
