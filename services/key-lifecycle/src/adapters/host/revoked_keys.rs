//! The `RevokedKeys` file of a host's sshd, where it is Keywright's: in `/etc/ssh/keywright/`, or with our comment.
//!
//! sshd refuses every key while the file is missing or cannot be read. So it is never made or taken away, only replaced,
//! by one rename, with a list that is complete, on disk, and read by the host's own `ssh-keygen` where there is one.

use keywright_domain::clock::fill_random;
use keywright_domain::reason::Reason;
use sha2::{Digest as _, Sha256};
use tracing::instrument;

use super::Host;
use super::answer::Answer;
use super::failure::HostFailure;
use super::script::{Operation, Script};

pub(super) static REVOKED_KEYS: Operation = Operation {
    parameters: &["mode", "token", "size", "sha"],
    server: true,
    ..Operation::new("revoked_keys", include_str!("scripts/revoked_keys.sh"))
};

const LONGEST_PATH: usize = 1024;

/// A file that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedKeysFile {
    pub path: String,
    /// SHA-256 of what it holds, in hexadecimal; None if the host cannot tell.
    pub holds: Option<String>,
}

impl RevokedKeysFile {
    #[cfg(test)]
    pub fn holding(path: &str, list: &[u8]) -> Self {
        Self { path: path.to_owned(), holds: Some(sha256(list)) }
    }

    pub fn holds(&self, list: &[u8]) -> bool {
        self.holds.as_deref() == Some(sha256(list).as_str())
    }
}

impl Host<'_> {
    /// None: the server reads no such file, or not one of ours.
    #[instrument(skip_all)]
    pub async fn look_at_revoked_keys(&self) -> Result<Option<RevokedKeysFile>, HostFailure> {
        let script = script("look");
        let answer = self.shell.run(&script, b"").await?;
        found(answer)
    }

    /// The path of the file that holds the list now; None: there is no file of ours.
    #[instrument(skip_all)]
    pub async fn write_revoked_keys(&self, list: &[u8]) -> Result<Option<String>, HostFailure> {
        let mut random = [0; 8];
        fill_random(&mut random).map_err(|_| HostFailure::refused(Reason::HostEditFailed))?;
        let script = script("write")
            .with("token", &data_encoding::HEXLOWER.encode(&random))
            .with("size", &list.len().to_string())
            .with("sha", &sha256(list));
        let answer = self.shell.run(&script, list).await?;
        Ok(found(answer)?.map(|file| file.path))
    }
}

/// The setting is the server's, not an account's.
fn script(mode: &str) -> Script {
    Script::for_host(&REVOKED_KEYS).with("account", "root").with("mode", mode)
}

fn found(answer: Answer) -> Result<Option<RevokedKeysFile>, HostFailure> {
    // It is kept and shown, and the host may say what it likes.
    let plain = |path: &&str| path.len() <= LONGEST_PATH && !path.chars().any(char::is_control);
    let path = answer.get("file").filter(plain).unwrap_or_default().to_owned();
    let answer =
        answer.done().map_err(|failure| if path.is_empty() { failure } else { failure.at(&path) })?;
    if !answer.is("found", "yes") || path.is_empty() {
        return Ok(None);
    }
    let holds = answer.get("holds").filter(|digest| !digest.is_empty()).map(str::to_owned);
    Ok(Some(RevokedKeysFile { path, holds }))
}

fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(Sha256::digest(bytes).as_slice())
}
