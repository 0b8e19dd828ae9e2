//! The corpus, replayed and mutated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod corpus;
mod limits;
mod mutation;
mod run;
mod watch;
