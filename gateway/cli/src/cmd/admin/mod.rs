//! `keywright admin …`: what operators do to the installation itself.

mod campaign;
mod custody;
mod freeze;
mod overview;
mod recovery;
mod rotate_all;

use clap::Subcommand;

use crate::app::App;
use crate::args::id;
use crate::error::Result;

#[derive(Subcommand)]
pub enum Command {
    /// Ask the secret store how it is: reachable, sealed, active or standby, version, latency
    #[command(
        after_help = "Exit code 0: it is well. 9: it is sealed, does not answer, or refuses Keywright."
    )]
    Health,
    /// List tenants with the state of their keys, newest first
    Tenants(overview::Tenants),
    /// Show a tenant: its accesses, their rotations, what is exposed
    Tenant {
        /// `ten_…`
        #[arg(value_name = "TENANT_ID", value_parser = id)]
        tenant: String,
    },
    /// List keys that must not work any more and are not proven refused yet, the longest exposed first
    Exposures(overview::Exposures),
    /// Rotate the keys of many accesses, in widening waves
    RotateAll(Box<rotate_all::RotateAll>),
    /// Campaigns: what `rotate-all` started
    #[command(subcommand)]
    Campaign(campaign::Command),
    /// Stop all automation, or one tenant's, at once; without an option: show what is stopped
    Freeze(freeze::Freeze),
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
        Command::Tenants(command) => command.run(app).await,
        Command::Tenant { tenant } => overview::tenant(app, &tenant).await,
        Command::Exposures(command) => command.run(app).await,
        Command::RotateAll(command) => command.run(app).await,
        Command::Campaign(command) => campaign::run(command, app).await,
        Command::Freeze(command) => command.run(app).await,
        Command::Custody => custody::status(app).await,
        Command::Unseal(command) => command.run(app).await,
        Command::Seal => custody::seal(app).await,
        Command::RotateKey(command) => command.run(app).await,
        Command::Recovery(command) => recovery::run(command, app).await,
    }
}
