//! A private key as a file for its owner.

use super::error::KeyError;
use super::private::PrivateKey;
use super::{openssh, pbes2, pkcs8_form, ppk};
use crate::secret::Secret;
use pkcs8::LineEnding;

/// The forms of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportFormat {
    #[default]
    OpenSsh,
    /// Not for Ed25519: OpenSSH cannot read it so.
    Pkcs8Pem,
    /// PuTTY, version 3.
    Ppk3,
}

impl ExportFormat {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenSsh => "openssh",
            Self::Pkcs8Pem => "pem",
            Self::Ppk3 => "ppk",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::OpenSsh, Self::Pkcs8Pem, Self::Ppk3].into_iter().find(|format| format.as_str() == name)
    }
}

/// Encrypted where a passphrase is given, which costs a good part of a second of CPU: not on an async thread. An
/// empty passphrase is refused, so that nobody gets an unencrypted file by mistake.
pub fn export(
    key: &PrivateKey,
    format: ExportFormat,
    passphrase: Option<&Secret>,
) -> Result<Secret, KeyError> {
    if passphrase.is_some_and(Secret::is_empty) {
        return Err(KeyError::PassphraseRequired);
    }
    match format {
        ExportFormat::OpenSsh => openssh::write(key, passphrase),
        ExportFormat::Pkcs8Pem => pkcs8_pem(key, passphrase),
        ExportFormat::Ppk3 => ppk::write(key, passphrase),
    }
}

fn pkcs8_pem(key: &PrivateKey, passphrase: Option<&Secret>) -> Result<Secret, KeyError> {
    let document = pkcs8_form::write(key)?;
    let pem = match passphrase {
        None => document.to_pem("PRIVATE KEY", LineEnding::LF),
        Some(passphrase) => {
            pbes2::write(&document, passphrase)?.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
        }
    }
    .map_err(|_| KeyError::Internal)?;
    Ok(Secret::new(pem.as_bytes().to_vec()))
}
