//! The probe against real SSH servers, with small doubles of credential-store and audit behind its peers.
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

mod doubles;
mod rig;

mod agents;
mod busy;
mod causes;
mod drafts;
mod failures;
mod findings;
mod fleet;
mod heartbeats;
mod impostors;
mod keys;
mod networks;
mod proofs;
mod reach;
mod refusals;
mod saved;
mod scans;
mod sshfp;
