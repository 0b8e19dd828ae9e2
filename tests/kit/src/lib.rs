//! Starts the real thing for tests: SSH servers, PostgreSQL, OpenBao, and Keywright itself.
//!
//! Invariants: nothing on the machine changes (accounts, files and processes live in namespaces and temporary
//! folders); ports are chosen at run time and listen on loopback only; whatever a value of this crate started
//! ends when that value is dropped, or when the test process dies, however it dies.
//!
//! | module | starts |
//! |---|---|
//! | [`host`] | OpenSSH and Dropbear servers with accounts of their own |
//! | [`ssh`] | OpenSSH's own `ssh` and `ssh-keygen`, to judge our work |
//! | [`agent`] | OpenSSH's own agent, with keys |
//! | [`postgres`] | a fresh database per test |
//! | [`bao`] | a fresh KV mount per test, or a private instance that can be sealed |
//! | [`name_server`] | a DNS server with a zone of the test's own, signed or not |
//! | [`oidc`] | an OpenID Connect provider with people who sign in |
//! | [`proxy`] | a TCP proxy that cuts or stalls a connection where it is told to |
//! | [`disk`] | a disk of its own that is soon full |
//! | [`clock`] | a clock that is moved while programs look at it |
//! | [`keywright`] | `keywright-server` and the `keywright` command |
//!
//! What a test needs and the machine lacks is an error that names the remedy, never a silent skip.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

pub mod agent;
pub mod bao;
pub mod clock;
mod daemon;
pub mod disk;
mod error;
pub mod host;
pub mod keywright;
pub mod name_server;
pub mod oidc;
mod port;
pub mod postgres;
mod process;
pub mod proxy;
mod running;
pub mod ssh;
mod tools;

pub use agent::HeldKeys;
pub use bao::{BaoMount, SealedBao, bao_mount, bao_sealed};
pub use clock::MovedClock;
pub use disk::SmallDisk;
pub use error::KitError;
pub use host::{HostOptions, TestHost};
pub use keywright::{Answer, Caller, Keywright, KeywrightOptions};
pub use name_server::NameServer;
pub use oidc::OidcProvider;
pub use port::{Port, free_port};
pub use postgres::{durable_database, postgres_database};
pub use process::{Output, eventually};
pub use proxy::{Fault, Harm, Proxy, Stage};
pub use running::Running;
pub use ssh::{KeyPair, KeyType, keygen, keygen_commented, ssh, sshfp};
pub use tools::{python, tools};
