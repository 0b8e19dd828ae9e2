//! Replaces one key file, if it still is what was read.

use keywright_domain::account::AccountName;
use keywright_domain::authorized_keys::Owner;
use keywright_domain::clock::fill_random;
use keywright_domain::reason::Reason;
use tracing::instrument;

use super::Host;
use super::digest::FileVersion;
use super::failure::HostFailure;
use super::script::{Operation, Script};

/// The longest revision that the script compares; whatever is longer was never issued, and does not stop it.
const COMPARED: u64 = 999_999_999_999_999_999;

pub(super) static EDIT: Operation = Operation {
    inner: &[("edit_file", include_str!("scripts/edit.sh"))],
    parameters: &["path", "sha", "md5", "new_sha", "new_md5", "tag", "rev", "overruled", "token"],
    own: true,
    ..Operation::new("edit", include_str!("scripts/edit_outer.sh"))
};

/// One edit. The file is only replaced if it still is `expected` and carries no newer revision of `owner`.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'a> {
    pub path: &'a str,
    pub expected: &'a FileVersion,
    pub owner: &'a Owner,
    pub revision: u64,
    /// A revision in the file that was never issued and does not count.
    pub overruled: Option<u64>,
    pub bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edited {
    /// Somebody appended during the edit; his lines stand at the end of the new file.
    pub merged: bool,
    /// The file was seen to hold the new bytes, after everything.
    pub stands: bool,
}

impl Host<'_> {
    #[instrument(skip_all, fields(revision = edit.revision))]
    pub async fn edit(&self, account: &AccountName, edit: Edit<'_>) -> Result<Edited, HostFailure> {
        let token = token()?;
        let new = FileVersion::of(edit.bytes);
        let overruled = edit.overruled.filter(|revision| *revision <= COMPARED);
        let overruled = overruled.map(|revision| revision.to_string()).unwrap_or_default();
        let script = Script::new(account, &EDIT)
            .with("path", edit.path)
            .with("sha", edit.expected.sha256())
            .with("md5", edit.expected.md5())
            .with("new_sha", new.sha256())
            .with("new_md5", new.md5())
            .with("tag", edit.owner.as_str())
            .with("rev", &edit.revision.to_string())
            .with("overruled", &overruled)
            .with("token", &token);
        let answer = self.shell.run(&script, edit.bytes).await?;
        let answer = answer.done().map_err(|failure| failure.at(edit.path))?;
        Ok(Edited { merged: answer.is("merged", "yes"), stands: answer.is("stands", "yes") })
    }
}

/// Tells the lock and the temporary files of one edit, or what one script said, from those of any other.
pub(super) fn token() -> Result<String, HostFailure> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes).map_err(|_| HostFailure::refused(Reason::HostEditFailed))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
