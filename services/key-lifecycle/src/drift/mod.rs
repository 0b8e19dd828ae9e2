//! Who can get into a server: every line of its accounts, judged by what is recorded; missing lines put back where the
//! policy says so.
//!
//! | file | |
//! |---|---|
//! | `classify`, `wire` | pure: whose each line is |
//! | `scanner` | one look at a server, under a lease |
//! | `repair` | our own lines as they should be |
//! | `options` | the options of a changed policy on them |
//! | `watch` | looks at every managed server, again and again |
//!
//! Invariants: one look at a server at a time, on whichever replica; a look changes nothing on a host; a repair
//! converges lines of ours and touches no other; nothing of what a host says reaches a log.

mod classify;
mod options;
mod repair;
mod scanner;
mod watch;
mod wire;

pub use options::Refresher;
pub use repair::Repairer;
pub use scanner::{Scanner, WHILE_ASKED};
pub use watch::Watch;

use keywright_domain::ids::ServerId;

/// The name under which a server is looked at: its management key may be used while the lease of this name is held.
pub fn work(server: &ServerId) -> String {
    format!("{PREFIX}{server}")
}

/// The server of such a name.
pub fn server_of(work: &str) -> Option<ServerId> {
    ServerId::parse(work.strip_prefix(PREFIX)?).ok()
}

const PREFIX: &str = "look_";
