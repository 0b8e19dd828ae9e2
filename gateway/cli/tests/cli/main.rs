//! The program as its users run it, against a gateway that answers what each test says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod access;
mod audit;
mod credential;
mod download;
mod errors;
mod gateway;
mod heartbeat;
mod krl;
mod login;
mod output;
mod reach;
mod server_import;
mod single_sign_on;
