//! The world outside: credential-store and connectivity-probe as peers, servers by SSH. No decisions.

pub mod bootstrap;
pub mod credential_store;
pub mod directory;
pub mod host;
pub mod hosts;
pub mod login;
pub mod probe;
