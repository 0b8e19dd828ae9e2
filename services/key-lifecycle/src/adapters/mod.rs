//! The world outside: credential-store and connectivity-probe as peers, servers by SSH. No decisions.

pub mod bootstrap;
pub mod credential_store;
#[allow(
    dead_code,
    unused_imports,
    reason = "the operations on hosts are whole; not all of their answers are shown yet"
)]
pub mod host;
pub mod hosts;
pub mod login;
pub mod probe;
