//! Where private keys lie: sealed in our own database, or in OpenBao / Vault. Both keep the same promises, which one
//! suite (`conformance`) checks.
//!
//! Invariant: material is written once and never replaced; after `destroy` nobody reads it again.

mod envelope;
mod kek;
mod sealed;
mod vault;

#[cfg(test)]
mod conformance;

pub use kek::{Kek, KekError};
pub use sealed::{OpenError, SealedStore};
pub use vault::{VaultError, VaultSettings, VaultStore};

use keywright_domain::ids::VersionId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::Failure;

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

    /// Keeps the way to the store open; called every few minutes.
    pub async fn renew(&self) {
        match self {
            Self::Sealed(_) => {}
            Self::Vault(store) => store.renew().await,
        }
    }
}
