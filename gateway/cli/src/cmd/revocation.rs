//! `keywright revocation …`, and the waiting of `access revoke` and `access deprovision`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;
use tokio::time::Instant;

use crate::app::App;
use crate::args::{id, seconds};
use crate::client::{Answer, Followed, follow};
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::Progress;
use crate::output::view::revocation as view;

#[derive(Subcommand)]
pub enum Command {
    /// Show a revocation: what is proven on which host
    Show {
        /// `rev_…`
        #[arg(value_name = "REVOCATION_ID", value_parser = id)]
        revocation: String,
    },
    /// Follow a revocation until every host is proven to refuse the keys
    #[command(after_help = "Exit code 0: every host proven. 9: a host is still exposed when the time is up.")]
    Watch {
        /// `rev_…`
        #[arg(value_name = "REVOCATION_ID", value_parser = id)]
        revocation: String,
        /// How long to follow, as in 90s or 1h
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
        wait_timeout: u64,
    },
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Show { revocation } => {
            let answer = app.client.get(&["api", "revocations", &revocation]).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
        Command::Watch { revocation, wait_timeout } => {
            let answer = wait(app, &revocation, wait_timeout).await?;
            app.out.answer(&answer, view::one(&answer.value));
            verdict(&answer.value)
        }
    }
}

/// Shows a revocation as it goes and answers it as it is in the end, or when the time is up.
async fn wait(app: &App<'_>, id: &str, wait_timeout: u64) -> Result<Answer> {
    app.interrupts.hint(&format!(
        "The revocation goes on in Keywright. Follow it with: keywright revocation watch {id}"
    ));
    let mut progress = Progress::new(app.out, &[]);
    let deadline = Instant::now() + Duration::from_secs(wait_timeout);
    let followed = follow(&app.client, ["api", "revocations", id], deadline, |revocation| {
        progress.revocation(revocation);
        !matches!(fields::text(revocation, "/state"), "running" | "unspecified" | "")
    })
    .await;
    drop(progress);
    if followed? == Followed::TimedOut {
        app.out.news("Not every host is proven yet; the revocation goes on.");
    }
    let answer = app.client.get(&["api", "revocations", id]).await?;
    app.interrupts.hint("");
    Ok(answer)
}

/// Shows what was started, at once or when its time is up.
///
/// # Errors
/// `Unproven` while a host may still accept a key.
pub async fn settle(app: &App<'_>, started: &Answer, no_wait: bool, wait_timeout: u64) -> Result<()> {
    let id = fields::text(&started.value, "/id");
    if no_wait {
        app.out.answer(started, view::one(&started.value));
        app.out.news(&format!("Follow it with: keywright revocation watch {id}"));
        return Ok(());
    }
    let ended = wait(app, id, wait_timeout).await?;
    app.out.answer(&ended, view::one(&ended.value));
    verdict(&ended.value)
}

/// # Errors
/// `Unproven` while a host may still accept a key.
fn verdict(revocation: &Value) -> Result<()> {
    if view::is_proven(revocation) {
        return Ok(());
    }
    let id = fields::text(revocation, "/id");
    Err(CliError::Unproven(format!(
        "the revocation is in force, but not every host is proven to refuse the keys. Follow it with `keywright revocation watch {id}`"
    )))
}
