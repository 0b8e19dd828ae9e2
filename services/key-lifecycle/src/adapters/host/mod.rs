//! Work on a host: accounts, `authorized_keys`, open sessions. Each operation is one `sh` script over one command.
//!
//! Invariants:
//! - scripts are fixed text; what is asked of them is judged on the host before it is used;
//! - whatever lies below a directory that an account can change is read and written with that account's uid; as root
//!   only what root alone can change. The scripts check their uid before they touch anything;
//! - key content goes by standard input, never in an argument;
//! - a failed edit leaves the file as it was; an edit whose end was not seen is a failure, and the next one reads anew;
//! - scripts and hosts only answer in words of ours: no text of a host reaches a message. What an account's own
//!   processes say (they run with its uid) is believed about its own files only.
//!
//! | file | |
//! |---|---|
//! | `shell`, `script`, `answer` | how a script gets there and how its answer is read |
//! | `facts`, `inspect`, `grace` | what is known of host and account; who ends a key at grace end |
//! | `create` | new accounts |
//! | `files`, `digest`, `edit`, `converge` | reading and replacing key files until they are as desired |
//! | `sessions` | ending what is open |
//! | `revoked_keys` | the list that sshd reads, where it is ours |
//! | `scan` | the key files of every account |
//! | `log` | what the host's log says of keys |
//! | `failure` | the reasons |

mod answer;
mod converge;
mod create;
mod digest;
mod edit;
mod facts;
mod failure;
mod files;
mod grace;
mod inspect;
mod log;
mod revoked_keys;
mod scan;
mod script;
mod sessions;
mod shell;

pub use converge::{DesiredKey, DesiredKeys, Seen};
pub use facts::{Drop, ResidualAccess};
pub use failure::HostFailure;
pub use grace::Grace;
pub use revoked_keys::RevokedKeysFile;
pub use sessions::{SessionCount, SessionScope};

/// All that is done on hosts: what the program of the shipped sudoers rule holds.
#[cfg(test)]
const OPERATIONS: &[&script::Operation] = &[
    &inspect::INSPECT,
    &files::READ,
    &edit::EDIT,
    &create::CREATE,
    &sessions::END,
    &revoked_keys::REVOKED_KEYS,
    &scan::SCAN,
    &log::LOG,
];

use keywright_domain::clock::Clock;

/// A host we are logged in to: as root, as an account that may `sudo`, or as the account whose file is meant.
#[derive(Debug)]
pub struct Host<'a> {
    shell: shell::Shell<'a>,
    clock: &'a Clock,
}

impl<'a> Host<'a> {
    pub fn new(session: &'a keywright_ssh::Session, clock: &'a Clock) -> Self {
        Self { shell: shell::Shell::Ssh(session), clock }
    }

    #[cfg(test)]
    fn local(shell: &'a shell::local::LocalShell, clock: &'a Clock) -> Self {
        Self { shell: shell::Shell::Local(shell), clock }
    }
}

#[cfg(test)]
mod tests;
