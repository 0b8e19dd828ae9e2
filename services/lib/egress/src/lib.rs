//! Connections to addresses that somebody gave, and webhooks over them.
//!
//! `line` opens a connection, in TLS or plain; `webhook` posts over one; `signature` is what receivers verify.
//! Invariant: whatever is dialled was checked by the rules of every target ([`keywright_ssh::TargetRules`]).

pub mod line;
pub mod signature;
pub mod webhook;

pub use keywright_ssh::Target;
pub use line::{Line, LineError, Lines};
pub use webhook::{Endpoint, Post, Webhooks};
