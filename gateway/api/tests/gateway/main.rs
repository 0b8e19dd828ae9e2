//! The gateway on a real port, before services that are generated from the contract and run in the same process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod backend;
mod documents;
mod files;
mod grpc;
mod limits;
mod port;
mod rest;
mod streams;
