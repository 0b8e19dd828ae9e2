//! OpenBao or HashiCorp Vault: KV version 2, one path per version. Its seal stands in for our key-encryption key.
//!
//! Invariant: nothing that the server or the client library says leaves this file, not even as a log line; an answer
//! becomes one of our own errors by its status alone.

use super::CustodyError;
use data_encoding::BASE64;
use keywright_domain::ids::VersionId;
use keywright_domain::secret::Secret;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use vaultrs::api::kv2::requests::SetSecretRequestOptions;
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::kv2;
use zeroize::Zeroize;

/// A path that is asked for and never written: the answer tells whether the store is open.
const NOWHERE: &str = "readiness";

pub struct VaultSettings {
    /// For example `https://bao.internal:8200`.
    pub address: String,
    pub token: Secret,
    /// PEM files of the authorities that vouch for the server; empty for the public ones.
    pub ca_certificates: Vec<PathBuf>,
    pub namespace: Option<String>,
    /// The mount of the KV version 2 engine.
    pub mount: String,
    /// The folder below it that is Keywright's.
    pub prefix: String,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("the address of the secret store is no http or https URL")]
    Address,
    #[error("the token of the secret store is not text")]
    Token,
    #[error("the client of the secret store cannot be set up; check the certificates")]
    Client,
}

#[derive(Clone)]
pub struct VaultStore {
    pub(super) client: Arc<VaultClient>,
    mount: Arc<str>,
    prefix: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Base64 of the material.
    material: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.material.zeroize();
    }
}

impl VaultStore {
    /// Every setting is stated: nothing is taken from VAULT_* in the environment.
    pub fn new(settings: &VaultSettings) -> Result<Self, VaultError> {
        if !settings.address.starts_with("https://") && !settings.address.starts_with("http://") {
            return Err(VaultError::Address);
        }
        let mut builder = VaultClientSettingsBuilder::default();
        let certificates = settings.ca_certificates.iter().map(|path| path.display().to_string()).collect();
        // The builder panics at an address that is no URL, so it is parsed before.
        reqwest::Url::parse(&settings.address).map_err(|_| VaultError::Address)?;
        builder
            .address(&settings.address)
            .token(settings.token.expose_text().ok_or(VaultError::Token)?)
            .verify(true)
            .ca_certs(certificates)
            .identity(None)
            .namespace(settings.namespace.clone())
            .timeout(Some(settings.timeout));
        let client = VaultClient::new(builder.build().map_err(|_| VaultError::Address)?);
        Ok(Self {
            client: Arc::new(client.map_err(|_| VaultError::Client)?),
            mount: settings.mount.as_str().into(),
            prefix: settings.prefix.trim_matches('/').into(),
        })
    }

    fn path(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    pub async fn put(&self, version: &VersionId, material: &Secret) -> Result<(), CustodyError> {
        let stored = Stored { material: BASE64.encode(material.expose()) };
        // Zero: only where the path does not exist.
        let once = SetSecretRequestOptions { cas: 0 };
        let written = quiet(kv2::set_with_options(
            &*self.client,
            &self.mount,
            &self.path(version.as_str()),
            &stored,
            once,
        ))
        .await;
        let Err(error) = written else { return Ok(()) };
        let error = kind(&error);
        // A conflict is told by its text alone, which is not ours to read: look instead.
        if error == CustodyError::Unavailable && self.get(version).await.is_ok() {
            return Err(CustodyError::Exists);
        }
        // A missing mount answers as a missing path does.
        Err(if error == CustodyError::NotFound { CustodyError::Unavailable } else { error })
    }

    pub async fn get(&self, version: &VersionId) -> Result<Secret, CustodyError> {
        let read = quiet(kv2::read::<Stored>(&*self.client, &self.mount, &self.path(version.as_str()))).await;
        let stored = read.map_err(|error| kind(&error))?;
        BASE64.decode(stored.material.as_bytes()).map(Secret::new).map_err(|_| CustodyError::Unavailable)
    }

    /// Deleting the metadata removes every version of the path.
    pub async fn destroy(&self, version: &VersionId) -> Result<(), CustodyError> {
        let deleted =
            quiet(kv2::delete_metadata(&*self.client, &self.mount, &self.path(version.as_str()))).await;
        match deleted.as_ref().map_err(kind) {
            Ok(()) => {}
            Err(CustodyError::NotFound) => self.ready().await?,
            Err(error) => return Err(error),
        }
        // Believed only when it is seen.
        match self.get(version).await {
            Err(CustodyError::NotFound) => Ok(()),
            Ok(_) => Err(CustodyError::Unavailable),
            Err(error) => Err(error),
        }
    }

    pub async fn ready(&self) -> Result<(), CustodyError> {
        let read = quiet(kv2::read::<Stored>(&*self.client, &self.mount, &self.path(NOWHERE))).await;
        match read {
            Ok(_) => Ok(()),
            // An existing mount has nothing to say about a missing path; a missing mount has.
            Err(ClientError::APIError { code: 404, errors }) if errors.is_empty() => Ok(()),
            Err(error) => Err(match kind(&error) {
                CustodyError::NotFound => CustodyError::Unavailable,
                other => other,
            }),
        }
    }

    /// Prolongs the token; one that cannot be prolonged shows in `ready` when it ends.
    pub async fn renew(&self) {
        if quiet(vaultrs::token::renew_self(&*self.client, None)).await.is_err() {
            tracing::debug!("the secret store's token was not renewed");
        }
    }
}

/// The client library logs what the server says: here it speaks to nobody.
pub(super) async fn quiet<F: Future>(call: F) -> F::Output {
    call.with_subscriber(NoSubscriber::new()).await
}

fn kind(error: &ClientError) -> CustodyError {
    match error {
        ClientError::APIError { code: 404, .. } => CustodyError::NotFound,
        ClientError::APIError { code: 503, .. } => CustodyError::Sealed,
        _ => CustodyError::Unavailable,
    }
}
