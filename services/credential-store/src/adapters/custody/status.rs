//! The state of the store as an operator sees it.

use super::key_files::Form;
use super::opening::{KeySource, OpenError};
use super::sealed::SealedStore;
use super::{AdminError, Custody, CustodyError};
use crate::domain::kek::KekState;
use crate::store::kek;
use keywright_domain::clock::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    Embedded,
    Vault,
}

impl StoreKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Vault => "vault",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Status {
    pub kind: StoreKind,
    pub sealed: bool,
    /// `file`, `environment`, `passphrase`; empty for OpenBao and Vault.
    pub key_source: &'static str,
    pub key_id: String,
    pub key_created_at: Option<Instant>,
    pub data_keys: i64,
    pub outstanding: i64,
}

impl Custody {
    pub async fn status(&self) -> Result<Status, AdminError> {
        match self {
            Self::Sealed(store) => store.status().await,
            Self::Vault(store) => {
                let sealed = match store.ready().await {
                    Ok(()) => false,
                    Err(CustodyError::Sealed) => true,
                    Err(error) => return Err(error.into()),
                };
                Ok(Status {
                    kind: StoreKind::Vault,
                    sealed,
                    key_source: "",
                    key_id: String::new(),
                    key_created_at: None,
                    data_keys: 0,
                    outstanding: 0,
                })
            }
        }
    }
}

impl SealedStore {
    async fn status(&self) -> Result<Status, AdminError> {
        let rows = kek::all(&self.db).await.map_err(OpenError::from)?;
        let current = rows.iter().find(|row| row.state == KekState::Current);
        let key_id = current.map(|row| row.id.to_string()).unwrap_or_default();
        let (all, under) = kek::counts(&self.db, &key_id).await.map_err(OpenError::from)?;
        let key_source = match (&self.keys.source, self.form().await?) {
            (KeySource::Given(_), _) => "environment",
            (_, Some(Form::Wrapped(_))) => "passphrase",
            _ => "file",
        };
        Ok(Status {
            kind: StoreKind::Embedded,
            sealed: self.keys.ring().is_err(),
            key_source,
            key_created_at: current.and_then(|row| row.created_at),
            key_id,
            data_keys: under,
            outstanding: all.saturating_sub(under),
        })
    }
}
