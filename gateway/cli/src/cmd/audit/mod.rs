//! `keywright audit …`: the log of what was done, and the proofs that it is whole.

mod alerts;
mod checkpoint;
mod erase;
mod export;
mod filter;
mod keys;
mod list;
mod part;
mod proof;
mod segments;
mod tail;
mod trust;
mod verify;

use clap::Subcommand;

use crate::app::App;
use crate::args::id;
use crate::error::Result;
use crate::output::view::audit as view;

pub use verify::Verify;

#[derive(Subcommand)]
pub enum Command {
    /// List events, newest first, or search them for a text
    List(list::List),
    /// Show an event
    Show {
        /// `evt_…`
        #[arg(value_name = "EVENT_ID", value_parser = id)]
        event: String,
    },
    /// Follow the log: each event as it is recorded, and again when it has ended
    Tail(tail::Tail),
    /// Export the log into a file that can be verified without a server
    Export(export::Export),
    /// Verify an exported log: no server, no token, no network
    Verify(Verify),
    /// Show or keep the newest signed checkpoint of the log
    Checkpoint(checkpoint::Checkpoint),
    /// List the public keys that checkpoints are and were signed with
    Keys(keys::Keys),
    /// Fetch a proof and verify it here
    #[command(subcommand)]
    Proof(proof::Command),
    /// What the log is watched for, and what was seen
    #[command(subcommand)]
    Alerts(alerts::Command),
    /// Runs of entries that are complete, and their retirement
    #[command(subcommand)]
    Segments(segments::Command),
    /// Erase the clear values about a person; the log still verifies
    Erase(erase::Erase),
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List(command) => command.run(app).await,
        Command::Show { event } => {
            let answer = app.client.get(&["api", "audit", "events", &event]).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
        Command::Tail(command) => command.run(app).await,
        Command::Export(command) => command.run(app).await,
        Command::Verify(command) => command.run(app.out).await,
        Command::Checkpoint(command) => command.run(app).await,
        Command::Keys(command) => command.run(app).await,
        Command::Proof(command) => proof::run(command, app).await,
        Command::Alerts(command) => alerts::run(command, app).await,
        Command::Segments(command) => segments::run(command, app).await,
        Command::Erase(command) => command.run(app).await,
    }
}
