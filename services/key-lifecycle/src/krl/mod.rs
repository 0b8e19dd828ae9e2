//! Revocation lists: one per server group, made when it is read from the rows that revocations write, so that a list
//! and the revocation commit at once.
//!
//! | file | |
//! |---|---|
//! | `groups` | which server is in which group, remembered here: lists can be read while credential-store is down |
//! | `lists` | what a list holds now |
//! | `files` | the RevokedKeys files of hosts |
//! | `run` | what is done without anybody asking |
//!
//! Invariants: a key that is in a list never leaves it, also when its server does; nothing here holds a revocation back.

mod files;
mod groups;
mod lists;
mod run;

pub use files::Files;
pub use groups::Groups;
pub use lists::{List, current, list};
pub use run::Lists;

/// The name under which hosts' files are read and written outside of a revocation.
pub const WORK: &str = "revocation-lists";
