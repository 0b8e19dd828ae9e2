//! The world outside: credential-store and connectivity-probe as peers, servers by SSH, whoever is told of something by
//! HTTPS and SMTP. No decisions.

pub mod bootstrap;
pub mod credential_store;
pub mod directory;
pub mod host;
pub mod hosts;
pub mod login;
pub mod mail;
pub mod probe;
pub mod webhook;
