//! `keywright`: the command line of Keywright. It speaks REST to the gateway and nothing else.
//!
//! Invariant: a secret (token, passphrase, private key) never comes in by an argument and never goes out but to
//! the file or the one answer that the user asked for. Answers go to standard output, everything said to a person
//! to standard error.
//!
//! `cli` is what can be typed, `cmd` one file per command, `client` the gateway, `output` what is shown, `prompt`
//! what is asked, `profile` what is remembered.

mod app;
mod args;
mod browser;
mod cli;
mod client;
mod cmd;
mod error;
mod exit;
mod fields;
mod files;
mod import;
mod interrupt;
mod output;
mod profile;
mod prompt;
mod target;

use clap::Parser;

use crate::cli::Cli;
use crate::error::CliError;
use crate::interrupt::Interrupts;
use crate::output::Output;

fn main() {
    // A second installation cannot happen before the first line of main, so its answer says nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let out = Output::new(cli.global.output);
    let code = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run(cli, &out));
            // A prompt that still waits for the terminal must not hold us back.
            runtime.shutdown_background();
            code
        }
        Err(source) => {
            let error = CliError::File { doing: "the asynchronous runtime does not start".into(), source };
            out.error(&error);
            error.exit().code()
        }
    };
    std::process::exit(code);
}

/// Runs the command until it ends or the user interrupts it, says what went wrong, and answers the exit code.
async fn run(cli: Cli, out: &Output) -> i32 {
    let interrupts = Interrupts::new();
    let result = interrupts.guard(cmd::run(cli, out, &interrupts), out).await;
    match result {
        Ok(()) => exit::Exit::Ok.code(),
        Err(error) => {
            out.error(&error);
            error.exit().code()
        }
    }
}
