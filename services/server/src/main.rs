//! The composition root: one process runs one role, or all of them.

mod args;
mod backup;
mod checkpoint_key;
mod custody;
mod error;
mod forwarding;
mod installation;
mod listen;
mod mail;
mod operator;
mod policies;
mod recovery_error;
mod restore;
mod roles;
mod run;
mod targets;

use args::{Cli, LogFormat};
use clap::Parser;
use keywright_runtime::telemetry::{self, Telemetry};
use std::alloc::System;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// What is freed is overwritten: requests with private keys pass through buffers of libraries that do not wipe them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// Without optimization the frames of a use case are large: one of its calls alone comes near to the usual two MiB.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    // No core dump, and no reading of this memory by the same user's other processes.
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        return refuse(&error);
    }
    let format = match cli.settings.log_format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return refuse(&error),
        };
    let outcome = runtime.block_on(async {
        let telemetry = Telemetry::start(&cli.settings.log, format, cli.settings.otlp_endpoint.as_deref())?;
        let outcome = run::run(cli).await;
        telemetry.stop();
        outcome
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error),
    }
}

#[allow(clippy::print_stderr, reason = "the last word to whoever started it")]
fn refuse(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("keywright-server: {error}");
    ExitCode::FAILURE
}
