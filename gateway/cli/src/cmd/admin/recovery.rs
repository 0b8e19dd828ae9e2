//! `keywright admin recovery …`: after a restore, what the hosts have, and the end of the recovery.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::args::seconds;
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::fields::{flag, text};
use crate::output::view::recovery as view;

const PATH: [&str; 3] = ["api", "admin", "recovery"];
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub enum Command {
    /// Show whether the installation is in recovery, and what the hosts were found to have
    Show,
    /// Ask every host for every key that the backup knows; nothing is written
    Probe {
        /// How long to wait for the hosts, as in 90s or 1h
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
        wait_timeout: u64,
    },
    /// End the recovery: hosts are written to again
    Complete(Complete),
}

#[derive(Args)]
#[command(after_help = "Examples:
  keywright admin recovery complete --confirm 0
  keywright admin recovery complete --confirm 2 --put-back acc_…:v3@srv_…

A missing key is put on its host again only if it is named with --put-back; all other missing keys are recorded as
removed. A key that should be gone is removed. A host that could not be asked is asked again until it answers, and is
not written to before.")]
pub struct Complete {
    /// How many keys are missing, unexpected or unreachable, exactly
    #[arg(long, value_name = "COUNT")]
    confirm: u32,
    /// A missing key to install again, by its line. Repeatable
    #[arg(long, value_name = "LINE")]
    put_back: Vec<String>,
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Show => show(app, &app.client.get(&PATH).await?),
        Command::Probe { wait_timeout } => probe(app, wait_timeout).await,
        Command::Complete(command) => command.run(app).await,
    }
}

fn show(app: &App<'_>, answer: &Answer) -> Result<()> {
    app.out.answer(answer, view::one(&answer.value));
    Ok(())
}

async fn probe(app: &App<'_>, wait_timeout: u64) -> Result<()> {
    app.interrupts.hint("The hosts are probed in Keywright. Look with: keywright admin recovery show");
    let deadline = Instant::now() + Duration::from_secs(wait_timeout);
    let mut answer = app.client.post(&["api", "admin", "recovery", "probe"], &Body::new()).await?;
    while is_probing(&answer.value) {
        if Instant::now() >= deadline {
            app.interrupts.hint("");
            show(app, &answer)?;
            let what = "not every host has answered; look again with `keywright admin recovery show`";
            return Err(CliError::Unproven(what.to_owned()));
        }
        sleep(BETWEEN_LOOKS).await;
        answer = app.client.get(&PATH).await?;
    }
    app.interrupts.hint("");
    show(app, &answer)
}

fn is_probing(recovery: &Value) -> bool {
    flag(recovery, "/active") && text(recovery, "/probedAt").is_empty()
}

impl Complete {
    async fn run(self, app: &App<'_>) -> Result<()> {
        let body = Body::new()
            .put("confirmation", json!({"targetCount": self.confirm}))
            .texts("restoreLines", &self.put_back);
        let answer = app.client.post(&["api", "admin", "recovery", "complete"], &body).await?;
        show(app, &answer)
    }
}
