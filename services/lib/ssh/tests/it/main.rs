//! Against real servers: OpenSSH and Dropbear on loopback with files of their own, and small hostile ones.
//!
//! Needs root, openssh-server and dropbear-bin (`apt-get install openssh-server dropbear-bin`), and what
//! `tests/tools/install` puts into the tools folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod engine;
mod hostile;
mod hosts;

mod busy;
mod certificates;
mod host_keys;
mod hygiene;
mod ipv6;
mod jump;
mod login;
mod offers;
mod penalties;
mod proofs;
mod refusals;
