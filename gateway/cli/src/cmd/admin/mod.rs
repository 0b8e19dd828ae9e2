//! `keywright admin …`: what operators do to the installation itself.

mod custody;
mod recovery;

use clap::Subcommand;

use crate::app::App;
use crate::error::Result;

#[derive(Subcommand)]
pub enum Command {
    /// Ask the secret store how it is: reachable, sealed, active or standby, version, latency
    #[command(
        after_help = "Exit code 0: it is well. 9: it is sealed, does not answer, or refuses Keywright."
    )]
    Health,
    /// Show the secret store: sealed or open, and under which key-encryption key
    Custody,
    /// Open a secret store whose key-encryption key lies under a passphrase
    Unseal(custody::Unseal),
    /// Forget the key-encryption key until it is unsealed again
    Seal,
    /// Make a new key-encryption key; everything stays usable meanwhile
    RotateKey(custody::RotateKey),
    /// After a restore: what the hosts have, and the end of the recovery
    #[command(subcommand)]
    Recovery(recovery::Command),
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Health => custody::health(app).await,
        Command::Custody => custody::status(app).await,
        Command::Unseal(command) => command.run(app).await,
        Command::Seal => custody::seal(app).await,
        Command::RotateKey(command) => command.run(app).await,
        Command::Recovery(command) => recovery::run(command, app).await,
    }
}
