//! A key-encryption key: 32 bytes that wrap every data key. Backups never hold it.

use crate::domain::kek::KekId;
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use keywright_domain::clock::fill_random;
use keywright_domain::secret::Secret;
use keywright_runtime::keys::KeyError;
use std::path::PathBuf;

const LENGTH: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum KekError {
    #[error("{path} cannot be read; restore it, or run keywright-server init in an empty data directory")]
    Missing {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} can be read by others; run chmod 600 on it")]
    Readable { path: PathBuf },
    #[error("{0} does not hold a key-encryption key of 32 bytes")]
    Malformed(String),
    #[error("{folder} holds several key-encryption keys, and the database is new: leave the one to use")]
    Several { folder: PathBuf },
    #[error("the passphrase does not open the key-encryption key")]
    Passphrase,
    #[error("the passphrase has {0}: use 12 to 1024 characters")]
    Unfit(&'static str),
    #[error("{path} asks for more memory or passes than 1 GiB and 16; nothing was computed")]
    TooExpensive { path: PathBuf },
    #[error("{path} cannot be read: {source}")]
    PassphraseFile { path: PathBuf, source: std::io::Error },
    #[error(
        "the key-encryption key is in a file in the clear already: rotate it under a passphrase with keywright admin rotate-key"
    )]
    InTheClear,
    #[error("the key-encryption key could not be written")]
    Write(#[source] KeyError),
    #[error("{path} cannot be written or removed: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the operating system gave no random bytes")]
    Random,
}

/// 32 bytes that wrap every data key.
#[derive(Debug)]
pub struct Kek(Secret);

impl Kek {
    pub fn new(bytes: Secret) -> Result<Self, KekError> {
        if bytes.expose().len() == LENGTH {
            Ok(Self(bytes))
        } else {
            Err(KekError::Malformed("the key".to_owned()))
        }
    }

    pub fn random() -> Result<Self, KekError> {
        let mut bytes = vec![0u8; LENGTH];
        fill_random(&mut bytes).map_err(|_| KekError::Random)?;
        Self::new(Secret::new(bytes))
    }

    /// From the environment: 32 bytes in base64.
    pub fn from_base64(text: &Secret) -> Result<Self, KekError> {
        let malformed = || KekError::Malformed("KEYWRIGHT_KEY_ENCRYPTION_KEY".to_owned());
        let text = text.expose_text().ok_or_else(malformed)?.trim();
        let bytes = data_encoding::BASE64.decode(text.as_bytes()).map_err(|_| malformed())?;
        Self::new(Secret::new(bytes)).map_err(|_| malformed())
    }

    pub fn id(&self) -> Result<KekId, KekError> {
        let mut context = Context::new(&SHA256);
        context.update(b"keywright key-encryption key 1 ");
        context.update(self.0.expose());
        let mut text = HEXLOWER.encode(context.finish().as_ref());
        text.truncate(KekId::LENGTH);
        KekId::try_from(text).map_err(|_| KekError::Random)
    }

    pub(super) fn bytes(&self) -> &Secret {
        &self.0
    }

    /// A second copy, made on purpose and by name.
    pub(super) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_holds_exactly_32_bytes() {
        let text = |bytes: &[u8]| Secret::from_text(data_encoding::BASE64.encode(bytes));
        assert_eq!(Kek::from_base64(&text(&[9; 32])).unwrap().bytes().expose(), [9; 32]);
        let with_newline = Secret::from_text(format!("{}\n", data_encoding::BASE64.encode(&[9; 32])));
        assert!(Kek::from_base64(&with_newline).is_ok());
        for bad in [text(&[9; 31]), text(&[]), Secret::from_text("%".to_owned())] {
            assert!(Kek::from_base64(&bad).is_err());
        }
    }

    #[test]
    fn a_key_is_named_by_what_it_is() {
        let one = Kek::new(Secret::new(vec![1; 32])).unwrap();
        assert_eq!(one.id().unwrap(), one.duplicate().id().unwrap());
        assert_ne!(one.id().unwrap(), Kek::random().unwrap().id().unwrap());
        assert_eq!(one.id().unwrap().as_str().len(), 16);
    }
}
