//! Why work on a host failed, in the reasons that receipts carry.

use keywright_domain::reason::Reason;

#[derive(Debug, Clone, thiserror::Error)]
pub enum HostFailure {
    /// The host said no, or is not as it must be; what was refused changed nothing.
    #[error("the host refused: {reason}")]
    Refused {
        reason: Reason,
        file: Option<String>,
        /// Something else was changed before.
        edited: bool,
    },
    /// The server is set to read no key file for the account: a key could not be installed.
    #[error("the server reads no key file for the account")]
    NoKeysFile,
    /// The file carries the marker of a newer revision: read the recorded state again. If no such revision was ever
    /// issued, somebody forged it: say so in `DesiredKeys::overruled`.
    #[error("a newer edit (revision {found}) has been made on the host")]
    Superseded { found: u64 },
    #[error("the connection to the host failed")]
    Connection(#[source] keywright_ssh::Failure),
}

impl HostFailure {
    pub(super) const fn refused(reason: Reason) -> Self {
        Self::Refused { reason, file: None, edited: false }
    }

    pub(super) fn at(self, path: &str) -> Self {
        match self {
            Self::Refused { reason, file: None, edited } => {
                Self::Refused { reason, file: Some(path.to_owned()), edited }
            }
            other => other,
        }
    }

    /// The same, where an edit was done before.
    pub(super) fn after_edits(self, any: bool) -> Self {
        match self {
            Self::Refused { reason, file, edited } => Self::Refused { reason, file, edited: edited || any },
            other => other,
        }
    }

    /// Whether the host is known to be as it was. A script whose end was not seen tells nothing.
    pub const fn left_all_as_it_was(&self) -> bool {
        match self {
            Self::Refused { reason, edited, .. } => !*edited && !matches!(reason, Reason::HostEditFailed),
            Self::NoKeysFile => true,
            Self::Superseded { .. } | Self::Connection(_) => false,
        }
    }
}

/// The one table from the scripts' `result` words to reasons; `done` is no failure.
pub(super) fn reason_of(result: &str) -> Option<Reason> {
    Some(match result {
        "done" => return None,
        "sudo_unavailable" | "helper_outdated" => Reason::SudoUnavailable,
        "account_not_allowed" => Reason::AccountNotAllowed,
        "account_missing" => Reason::AccountNotFound,
        "symlink" => Reason::HostFileSymlink,
        "not_regular" => Reason::HostFileNotRegular,
        "too_large" => Reason::HostFileTooLarge,
        "read_only" => Reason::HostFileReadOnly,
        "disk_full" => Reason::HostFileDiskFull,
        "changed" | "locked" => Reason::HostFileChanged,
        "owner" => Reason::HostFileOwner,
        // failed, incomplete, drop_failed, and whatever no script of ours says.
        _ => Reason::HostEditFailed,
    })
}
