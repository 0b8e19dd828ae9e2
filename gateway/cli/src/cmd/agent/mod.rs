//! `keywright agent`: OpenSSH's `ssh` logs in with keys that stay in Keywright.
//!
//! Invariant: what leaves for the gateway are the fields of one login, in a session that a host signed; the agent has
//! no key, and asks for nothing else to be signed.

mod gateway;
mod keys;
mod serve;
mod session;
mod socket;
pub mod wire;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use serde_json::json;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, Setup};
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::interrupt::Interrupts;
use crate::output::{Block, Output};
use gateway::Gateway;
use socket::Socket;

#[derive(Args)]
#[command(
    after_help = "With a command, runs it with SSH_AUTH_SOCK set and ends with its exit code; without one, prints
the line that sets SSH_AUTH_SOCK and serves until it is ended.

  keywright agent -- ssh deploy@web-1.example
  keywright agent --socket ~/.ssh/keywright.sock     # and in ~/.ssh/config: IdentityAgent ~/.ssh/keywright.sock

Only logins on servers with an approved host key are signed; a forwarded agent (ssh -A) is refused.
Needs OpenSSH 8.9 or newer."
)]
pub struct Agent {
    /// Where to listen; by default in a new folder that goes away with the agent
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// What to run with the agent
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Agent {
    pub async fn run(self, setup: Setup, out: Output, interrupts: &Interrupts) -> Result<()> {
        // The token in memory is not for other processes of the user, nor for a core file.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        // Says what is wrong with the session before anything is started.
        App::new(setup.session()?, out, interrupts)?;
        let count = Gateway::open(&setup)?.keys().await?.len();
        let socket = Socket::open(self.socket)?;
        let setup = Arc::new(setup);
        let served = serve::serve(&socket, setup, out);
        let mut ending = Ending::new()?;
        let Some((program, arguments)) = self.command.split_first() else {
            let path = socket.path.display().to_string();
            let line = format!("SSH_AUTH_SOCK={}; export SSH_AUTH_SOCK;", quoted(&path));
            out.answer(&Answer::of(json!({"socket": path})), vec![Block::Text(line)]);
            out.news(&format!("{count} keys sign for you; Ctrl-C ends the agent"));
            return tokio::select! {
                error = served => Err(error),
                () = ending.wait() => Ok(()),
            };
        };
        // The command has the terminal, and Ctrl-C is for it.
        interrupts.ignore();
        let mut command = Command::new(program);
        command.args(arguments).env("SSH_AUTH_SOCK", &socket.path).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| CliError::File {
            doing: format!("{} cannot be started", program.to_string_lossy()),
            source,
        })?;
        let status = tokio::select! {
            error = served => return Err(error),
            status = child.wait() => status,
            () = ending.wait() => return Err(CliError::Interrupted { hint: String::new() }),
        };
        let status =
            status.map_err(|source| CliError::File { doing: "the command was lost".into(), source })?;
        drop(socket);
        match status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()) {
            0 => Ok(()),
            // As `env` does: the command's exit code, and nothing said about it.
            code => std::process::exit(code),
        }
    }
}

/// For a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// What asks a program to end: SIGTERM, or its terminal is gone. The socket is removed then, too.
struct Ending(Signal, Signal);

impl Ending {
    fn new() -> Result<Self> {
        let of = |kind| signal(kind).map_err(no_signals);
        Ok(Self(of(SignalKind::terminate())?, of(SignalKind::hangup())?))
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

fn no_signals(source: std::io::Error) -> CliError {
    CliError::File { doing: "signals cannot be waited for".into(), source }
}
