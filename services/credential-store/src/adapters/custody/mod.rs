//! Where private keys lie: sealed in our own database, or in OpenBao / Vault. Both keep the same promises, which one
//! suite (`conformance`) checks.
//!
//! Invariant: material is written once and never replaced; after `destroy` nobody reads it again.

mod envelope;
mod health;
mod kek;
mod key_files;
mod opening;
mod passphrase;
mod ring;
mod rotation;
mod sealed;
mod status;
mod vault;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod key_tests;

pub use health::{Health, Role};
pub use kek::{Kek, KekError};
pub use opening::{KeySource, OpenError, read_passphrase};
pub use rotation::Turn;
pub use sealed::SealedStore;
pub use status::Status;
pub use vault::{VaultError, VaultSettings, VaultStore};

use keywright_domain::ids::VersionId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::Failure;
use tokio_util::sync::CancellationToken;

/// What a caller would do differently. Deliberately without a source: what a secret store says stays there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CustodyError {
    #[error("the secret store is sealed")]
    Sealed,
    #[error("the secret store does not answer as it should")]
    Unavailable,
    #[error("there is no material of this version")]
    NotFound,
    #[error("there is material of this version already")]
    Exists,
}

impl From<CustodyError> for Failure {
    fn from(error: CustodyError) -> Self {
        match error {
            CustodyError::Sealed => {
                Self::new(Reason::SecretStoreSealed, "The secret store is sealed, so nothing was done.")
            }
            CustodyError::Unavailable | CustodyError::Exists => Self::new(
                Reason::SecretStoreUnavailable,
                "The secret store does not answer, so nothing was done.",
            ),
            CustodyError::NotFound => {
                Self::new(Reason::VersionNotFound, "The private half of this version is gone.")
            }
        }
    }
}

/// Why an operator's wish about the key-encryption key is not fulfilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error("the passphrase does not open the key-encryption key")]
    PassphraseIncorrect,
    #[error("the key-encryption key lies under a passphrase")]
    PassphraseRequired,
    #[error("too many wrong passphrases")]
    TooManyTries,
    #[error("the new passphrase has {0}")]
    Unfit(&'static str),
    #[error("the key-encryption key lies under no passphrase")]
    NoPassphrase,
    #[error("the key-encryption key comes from the environment")]
    Environment,
    #[error("the store has a key of its own")]
    External,
    #[error("a rotation of the key-encryption key is under way")]
    InProgress,
    #[error("the key-encryption key is not the one that sealed this database")]
    WrongKey,
    #[error("a key-encryption key's file cannot be used")]
    KeyFile,
}

impl From<KekError> for AdminError {
    fn from(error: KekError) -> Self {
        match error {
            KekError::Passphrase => Self::PassphraseIncorrect,
            KekError::Unfit(what) => Self::Unfit(what),
            error => {
                tracing::error!(error = %error, "a key-encryption key's file cannot be used");
                Self::KeyFile
            }
        }
    }
}

impl From<OpenError> for AdminError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Key(error) => error.into(),
            OpenError::Storage(_) => Self::Custody(CustodyError::Unavailable),
            OpenError::WrongKey | OpenError::OlderKey(_) => {
                tracing::error!(error = %error, "the key-encryption key was refused");
                Self::WrongKey
            }
            OpenError::BadKey => Self::KeyFile,
        }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let (reason, message) = match error {
            AdminError::Custody(error) => return error.into(),
            AdminError::Unfit(what) => {
                let unfit = format!("has {what}; 12 to 1024 characters are allowed");
                return Self::violation("newPassphrase", unfit);
            }
            AdminError::PassphraseIncorrect => {
                (Reason::PassphraseIncorrect, "The passphrase does not open the key-encryption key.")
            }
            AdminError::PassphraseRequired => {
                (Reason::PassphraseRequired, "The key-encryption key lies under a passphrase.")
            }
            AdminError::TooManyTries => {
                (Reason::RateLimited, "Too many wrong passphrases were tried on this server within a minute.")
            }
            AdminError::NoPassphrase => (
                Reason::PolicyForbids,
                "The key-encryption key lies under no passphrase, so there is nothing to seal or unseal. Rotating it with a new passphrase puts it under one.",
            ),
            AdminError::Environment => (
                Reason::PolicyForbids,
                "The key-encryption key comes from the environment, where it cannot be replaced. Put its 32 bytes into keys/key-encryption.key (mode 0600), take KEYWRIGHT_KEY_ENCRYPTION_KEY away, start again, and rotate.",
            ),
            AdminError::External => (
                Reason::PolicyForbids,
                "OpenBao or Vault keeps the material under its own key: unseal, seal and rotate it there (bao operator rotate).",
            ),
            AdminError::InProgress => {
                (Reason::RequestInProgress, "The key-encryption key is being rotated already.")
            }
            AdminError::WrongKey => (
                Reason::SecretStoreUnavailable,
                "The key-encryption key is not the one that sealed this database; nothing was touched.",
            ),
            AdminError::KeyFile => (
                Reason::SecretStoreUnavailable,
                "A key-encryption key's file cannot be read or written; the server's log says which.",
            ),
        };
        Self::new(reason, message)
    }
}

/// The store of material.
#[derive(Clone)]
pub enum Custody {
    Sealed(SealedStore),
    Vault(VaultStore),
}

impl Custody {
    /// Durable when it returns. `Exists` where the version has material: that stays as it is.
    pub async fn put(&self, version: &VersionId, material: &Secret) -> Result<(), CustodyError> {
        match self {
            Self::Sealed(store) => store.put(version, material).await,
            Self::Vault(store) => store.put(version, material).await,
        }
    }

    pub async fn get(&self, version: &VersionId) -> Result<Secret, CustodyError> {
        match self {
            Self::Sealed(store) => store.get(version).await,
            Self::Vault(store) => store.get(version).await,
        }
    }

    /// For good. Repeating it, or destroying what never was, is no error.
    pub async fn destroy(&self, version: &VersionId) -> Result<(), CustodyError> {
        match self {
            Self::Sealed(store) => store.destroy(version).await,
            Self::Vault(store) => store.destroy(version).await,
        }
    }

    /// Whether material could be read and written now.
    pub async fn ready(&self) -> Result<(), CustodyError> {
        match self {
            Self::Sealed(store) => store.ready().await,
            Self::Vault(store) => store.ready().await,
        }
    }

    /// Whether this process waits for a passphrase.
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Sealed(store) => store.is_locked(),
            Self::Vault(_) => false,
        }
    }

    /// The store whose key-encryption key is ours to look after.
    pub fn embedded(&self) -> Result<&SealedStore, AdminError> {
        match self {
            Self::Sealed(store) => Ok(store),
            Self::Vault(_) => Err(AdminError::External),
        }
    }

    /// Carries on what a rotation of the key-encryption key has left to do, until `stop`.
    pub async fn upkeep(self, stop: CancellationToken) {
        match self {
            Self::Sealed(store) => store.upkeep(stop).await,
            Self::Vault(_) => {}
        }
    }

    /// Keeps the way to the store open; called every few minutes.
    pub async fn renew(&self) {
        match self {
            Self::Sealed(_) => {}
            Self::Vault(store) => store.renew().await,
        }
    }
}
