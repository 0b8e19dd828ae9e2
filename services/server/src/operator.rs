//! The first operator's token: written once, before it holds, so that a kill in between loses nothing.

use crate::error::StartError;
use crate::installation::Installation;
use keywright_credential_store::{first_operator, restored_operator};
use keywright_domain::secret::Secret;
use keywright_runtime::keys::write_private;
use keywright_storage::Db;
use std::path::{Path, PathBuf};

/// Whether this start made the first operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    Made,
    ExistedAlready,
}

pub fn default_file(data: &Path) -> PathBuf {
    data.join("operator.token")
}

pub async fn ensure(at: &Installation, db: &Db, file: &Path) -> Result<First, StartError> {
    let waiting = with_suffix(file, ".new");
    let made = first_operator(db, &at.issuer()?, |token| keep(&waiting, token)).await?;
    put_in_place(&waiting, file)?;
    Ok(if made { First::Made } else { First::ExistedAlready })
}

/// After a restore: every token of before ends, and there is a new operator.
pub async fn renew(at: &Installation, db: &Db, file: &Path) -> Result<(), StartError> {
    let waiting = with_suffix(file, ".new");
    restored_operator(db, &at.issuer()?, |token| keep(&waiting, token)).await?;
    put_in_place(&waiting, file)
}

fn keep(waiting: &Path, token: &Secret) -> bool {
    let _stale = std::fs::remove_file(waiting);
    let mut line = token.expose().to_vec();
    line.push(b'\n');
    write_private(waiting, Secret::new(line).expose()).is_ok_and(|written| written)
}

fn put_in_place(waiting: &Path, file: &Path) -> Result<(), StartError> {
    if waiting.exists() {
        std::fs::rename(waiting, file)
            .map_err(|source| StartError::DataDir { path: file.to_owned(), source })?;
    }
    Ok(())
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
