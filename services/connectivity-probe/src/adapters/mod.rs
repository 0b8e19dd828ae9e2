//! The outside: SSH journeys and the peers.

pub mod callers_agent;
pub mod custody;
pub mod directory;
pub mod journey;
pub mod known_keys;
pub mod prober;
pub mod route;
mod runtime;
mod shell;
pub mod sshfp;
