//! Measures Keywright against what people use instead: rotations and revocations, with `--probe` fleet logins, and with
//! `--audit` the audit log.
//!
//! Invariants: everything that is compared is measured in this run, in interleaved rounds; results are ratios, CPU
//! time per operation and spreads, never a bare rate; no figure is asserted.
//!
//! | file | |
//! |---|---|
//! | `cpu` | CPU time of process trees, dead children included |
//! | `figures` | medians, percentiles, spread; the load of the machine |
//! | `fixture` | a Keywright, a host, accesses |
//! | `logins` | the unit: one login, by Keywright's own client and by `ssh` |
//! | `options` | how much is measured |
//! | `round` | many operations at once: what they took |
//! | `lifecycle` | the mode that measures rotation and revocation: `rotations`, `revocations`, `scripted` (the same steps by a shell script), `ansible` (a configuration tool's edits alone) |
//! | `audit` | the mode that measures the audit log's engine, and the verification of an export |
//! | `probe` | the mode that measures fleet logins, a sweep of host keys, memory |
//! | `errand`, `held`, `client` | programs that log in many times and are counted: what they are told, how they are started, our own |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss
)]

mod ansible;
mod audit;
mod client;
mod cpu;
mod errand;
mod figures;
mod fixture;
mod held;
mod lifecycle;
mod logins;
mod options;
mod probe;
mod revocations;
mod rotations;
mod round;
mod scripted;

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// As the server has it: our own client is to cost here what it costs there.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == client::WORD).is_some() {
        return client::run(words.next().as_deref()).await;
    }
    if words.next_if(|word| word == "--probe").is_some() {
        return probe::run(words).await;
    }
    if words.next_if(|word| word == "--audit").is_some() {
        return audit::run(words).await;
    }
    lifecycle::run(words).await;
}
