//! OpenSSH 10 beside the machine's own: three programs of a Debian package that is unpacked and not installed.
//!
//! Invariant: the programs are the host's own copies, since the folder that they come from may lie where a host has
//! something of its own.

use std::path::{Path, PathBuf};

use crate::error::{During, KitError};
use crate::tools::tools;

const PROGRAMS: [&str; 3] = ["sshd", "sshd-session", "sshd-auth"];

/// Gives the host the programs; answers sshd as the host sees it.
pub(super) fn bring(state: &Path) -> Result<PathBuf, KitError> {
    let (from, to) = (tools().join("openssh-10"), state.join("openssh-10"));
    if !from.join(".complete").is_file() {
        return Err(KitError::Missing {
            program: "openssh-10".into(),
            remedy: "run tests/tools/install FOLDER",
        });
    }
    std::fs::create_dir(&to).during("bringing OpenSSH 10 to a host")?;
    for program in PROGRAMS {
        std::fs::copy(from.join(program), to.join(program)).during("bringing OpenSSH 10 to a host")?;
    }
    Ok(PathBuf::from("/run/host/openssh-10/sshd"))
}

/// Where its sshd finds the other two; as compiled it would look where Debian installs them.
pub(super) const SETTINGS: &str = "SshdSessionPath /run/host/openssh-10/sshd-session\n\
                                   SshdAuthPath /run/host/openssh-10/sshd-auth\n";
