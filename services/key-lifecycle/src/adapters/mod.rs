//! The world outside: credential-store, connectivity-probe and the log as peers, servers by SSH, whoever is told of something by
//! HTTPS and SMTP. No decisions.

pub mod audit;
pub mod bootstrap;
pub mod credential_store;
pub mod directory;
pub mod door;
pub mod host;
pub mod hosts;
pub mod login;
pub mod mail;
pub mod probe;
