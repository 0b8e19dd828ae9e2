//! Why a backup or a restore does not come about. Each says what to do.

use keywright_runtime::failure::Failure;
use keywright_storage::snapshot::SnapshotError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path} cannot be read or written: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0} exists already and is left alone: give another name")]
    Exists(PathBuf),
    #[error("say where to: --recipient age1… --out FILE; or what to check: --verify FILE --identity FILE")]
    Usage,
    #[error("it was interrupted; no file was left")]
    Interrupted,
    #[error("the databases are of another version: use the keywright-server that serves this installation")]
    OtherVersion,
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    #[error("the audit log cannot be written, so nothing was done: {0}")]
    Audit(#[source] Failure),
    #[error(
        "this is not an empty installation ({0}): restore into a new data directory, and an empty database"
    )]
    NotEmpty(String),
    #[error("the private keys of this backup lie in OpenBao or Vault: give --vault-addr")]
    KeysInVault,
    #[error("the private keys of this backup are in it: leave out --vault-addr")]
    KeysInBackup,
    #[error("a restore into {0} did not end: run it again; the server does not start before")]
    Unfinished(PathBuf),
}

impl BackupError {
    /// For the audit log.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Interrupted => "INTERRUPTED",
            Self::Snapshot(SnapshotError::Storage(_)) => "STORAGE_UNAVAILABLE",
            _ => "FILE_UNWRITABLE",
        }
    }
}
