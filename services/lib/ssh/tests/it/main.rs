//! Against real servers: OpenSSH and Dropbear on loopback with files of their own, and small hostile ones.
//!
//! Needs root, openssh-server and dropbear-bin (`apt-get install openssh-server dropbear-bin`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod engine;
mod hostile;
mod hosts;

mod host_keys;
mod login;
mod proofs;
mod refusals;
