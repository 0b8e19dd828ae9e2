//! When and from where a key was last used, by the logs of the hosts' SSH servers.
//!
//! | file | |
//! |---|---|
//! | `line` | pure: one line of a log, strictly |
//! | `evidence` | pure: what the lines of one host say of each key |
//! | `last` | pure: what all hosts say together of one key |
//! | `reader` | asks the hosts and records; and by itself before a grace ends |
//!
//! Invariants: a line counts only if it is the SSH server's own, whole and anchored: what a stranger writes into a user
//! name cannot look like one. Our own log-ins never count. A log that does not even show the log-in by which it is read
//! proves nothing: its silence is UNREADABLE, not NOT_SEEN.

mod evidence;
mod last;
mod line;
mod reader;

pub use last::LastUse;
pub use reader::{Before, UseReader};
