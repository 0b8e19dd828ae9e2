//! Where private keys lie, and where the key-encryption key comes from.
//!
//! The environment's key is read here once. The server starts no other program, and its own environment cannot be read
//! by the same user's processes, since it is not dumpable.

use crate::args::{Settings, VaultSettings};
use crate::error::StartError;
use crate::installation::Installation;
use keywright_credential_store as store;
use keywright_domain::secret::Secret;
use keywright_storage::Db;
use std::path::Path;
use std::time::Duration;

const KEY_VARIABLE: &str = "KEYWRIGHT_KEY_ENCRYPTION_KEY";

/// One call to OpenBao or Vault.
const VAULT_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn open(at: &Installation, settings: &Settings, db: Db) -> Result<store::Custody, StartError> {
    open_in(&at.data, settings, db).await
}

/// The same with the keys of this data directory.
pub async fn open_in(data: &Path, settings: &Settings, db: Db) -> Result<store::Custody, StartError> {
    let vault = &settings.vault;
    let Some(address) = &vault.vault_addr else {
        let source = match from_environment()? {
            Some(kek) => store::KeySource::Given(kek),
            None => store::KeySource::files(data, settings.passphrase_file.clone()),
        };
        return Ok(store::Custody::Sealed(store::SealedStore::start(db, source).await?));
    };
    let settings = store::VaultSettings {
        address: address.clone(),
        token: vault_token(vault)?,
        ca_certificates: vault.vault_ca.iter().cloned().collect(),
        namespace: None,
        mount: vault.vault_mount.clone(),
        prefix: vault.vault_prefix.clone(),
        timeout: VAULT_TIMEOUT,
    };
    Ok(store::Custody::Vault(store::VaultStore::new(&settings)?))
}

/// `init --seal-with-passphrase`: the first key-encryption key, under a passphrase.
pub async fn create_sealed(at: &Installation, settings: &Settings, db: &Db) -> Result<(), StartError> {
    if settings.vault.vault_addr.is_some() || from_environment()?.is_some() {
        return Err(StartError::NothingToSeal);
    }
    let passphrase = match &settings.passphrase_file {
        Some(path) => store::read_passphrase(path)?,
        None => ask()?,
    };
    Ok(store::SealedStore::create_under_passphrase(db, &at.data, passphrase).await?)
}

fn ask() -> Result<Secret, StartError> {
    let asked = dialoguer::Password::new()
        .with_prompt("Passphrase of the key-encryption key")
        .with_confirmation("Once more", "They differ. Again")
        .report(false)
        .interact();
    asked.map(Secret::from_text).map_err(|_| StartError::NoTerminal)
}

fn from_environment() -> Result<Option<store::Kek>, StartError> {
    use std::os::unix::ffi::OsStringExt;
    let Some(text) = std::env::var_os(KEY_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    Ok(Some(store::Kek::from_base64(&Secret::new(text.into_vec()))?))
}

fn vault_token(vault: &VaultSettings) -> Result<Secret, StartError> {
    let text = match (&vault.vault_token_file, &vault.vault_token) {
        (Some(path), _) => {
            std::fs::read_to_string(path).map_err(|source| StartError::File { path: path.clone(), source })?
        }
        (None, Some(token)) => token.clone(),
        (None, None) => return Err(StartError::NoVaultToken),
    };
    Ok(Secret::from_text(text.trim().to_owned()))
}
