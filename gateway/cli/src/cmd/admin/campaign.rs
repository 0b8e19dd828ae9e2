//! `keywright admin campaign …`: rotations of many accesses, as they go.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde_json::Value;
use tokio::time::Instant;

use crate::app::App;
use crate::args::{PageArgs, id, seconds};
use crate::client::{Answer, Body, Followed, follow};
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::Count;
use crate::output::view::campaign as view;

#[derive(Subcommand)]
pub enum Command {
    /// List campaigns, newest first
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a campaign
    Show {
        /// `cmp_…`
        #[arg(value_name = "CAMPAIGN_ID", value_parser = id)]
        campaign: String,
    },
    /// List its targets, in the order of their waves
    Targets {
        /// `cmp_…`
        #[arg(value_name = "CAMPAIGN_ID", value_parser = id)]
        campaign: String,
        /// Only those that stand so
        #[arg(long, value_enum)]
        state: Option<State>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Follow a campaign until it ends or pauses
    #[command(
        after_help = "Exit code 0: SUCCEEDED, and no target failed. 9: paused, or it still runs when the time is up.
10: it ended with failed targets, or CANCELLED."
    )]
    Watch {
        /// `cmp_…`
        #[arg(value_name = "CAMPAIGN_ID", value_parser = id)]
        campaign: String,
        /// How long to follow, as in 90m or 2d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
        wait_timeout: u64,
    },
    /// Begin nothing further until it is resumed; what runs, goes on
    Pause {
        /// `cmp_…`
        #[arg(value_name = "CAMPAIGN_ID", value_parser = id)]
        campaign: String,
    },
    /// Go on; after an automatic pause the failures so far are forgiven
    Resume {
        /// `cmp_…`
        #[arg(value_name = "CAMPAIGN_ID", value_parser = id)]
        campaign: String,
    },
    /// Begin nothing further, ever; what runs, goes on
    Cancel {
        /// `cmp_…`
        #[arg(value_name = "CAMPAIGN_ID", value_parser = id)]
        campaign: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum State {
    /// Not begun
    Pending,
    /// Its rotation runs
    Running,
    /// Its new key is in use
    Succeeded,
    /// Its rotation failed; the old key stays
    Failed,
    /// A host is down; it is tried again
    CatchUp,
    /// Not to be rotated (any more)
    Skipped,
    /// The campaign was cancelled before
    Cancelled,
}

impl State {
    fn wire(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::CatchUp => "catch_up",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List { page } => {
            let page = app.client.list(&["api", "admin", "campaigns"], &[], &page).await?;
            app.out.page(&page, view::list(page.items()));
            Ok(())
        }
        Command::Show { campaign } => {
            let answer = app.client.get(&["api", "admin", "campaigns", &campaign]).await?;
            show(app, &answer)
        }
        Command::Targets { campaign, state, page } => {
            let filter = [("state", state.map(State::wire))];
            let path = ["api", "admin", "campaigns", &campaign, "targets"];
            let page = app.client.list(&path, &filter, &page).await?;
            app.out.page(&page, view::targets(page.items()));
            Ok(())
        }
        Command::Watch { campaign, wait_timeout } => watch(app, &campaign, wait_timeout).await,
        Command::Pause { campaign } => turn(app, &campaign, "pause").await,
        Command::Resume { campaign } => turn(app, &campaign, "resume").await,
        Command::Cancel { campaign } => turn(app, &campaign, "cancel").await,
    }
}

async fn turn(app: &App<'_>, id: &str, step: &str) -> Result<()> {
    let answer = app.client.post(&["api", "admin", "campaigns", id, step], &Body::new()).await?;
    show(app, &answer)
}

fn show(app: &App<'_>, answer: &Answer) -> Result<()> {
    app.out.answer(answer, view::one(&answer.value));
    Ok(())
}

/// Shows a campaign as it goes, and how it ended.
pub async fn watch(app: &App<'_>, id: &str, wait_timeout: u64) -> Result<()> {
    app.interrupts.hint(&format!(
        "The campaign goes on in Keywright. Follow it with: keywright admin campaign watch {id}"
    ));
    let progress = Count::new(app.out, "accesses rotated");
    let deadline = Instant::now() + Duration::from_secs(wait_timeout);
    let mut last = String::new();
    let followed = follow(&app.client, ["api", "admin", "campaigns", id], deadline, |campaign| {
        let (done, all) = progress_of(campaign);
        progress.set(done, all);
        let line = view::line(campaign);
        if line != last && !progress.is_drawn() {
            app.out.news(&format!("  {line}"));
        }
        last = line;
        fields::text(campaign, "/state") != "running"
    })
    .await;
    drop(progress);
    if followed? == Followed::TimedOut {
        app.out.news("The time to wait is up; the campaign goes on.");
    }
    let answer = app.client.get(&["api", "admin", "campaigns", id]).await?;
    app.interrupts.hint("");
    show(app, &answer)?;
    verdict(&answer.value)
}

/// How many targets need nothing further, of how many.
fn progress_of(campaign: &Value) -> (usize, usize) {
    let all = fields::number(campaign, "/targetCount");
    let open: i64 =
        ["/pending", "/running", "/catchingUp"].iter().map(|at| fields::number(campaign, at)).sum();
    let size = |number: i64| usize::try_from(number).unwrap_or_default();
    (size(all.saturating_sub(open)), size(all))
}

/// Whether the campaign did what it is for.
///
/// # Errors
/// `WorkFailed` if it ended with less, `Unproven` if it has not ended.
fn verdict(campaign: &Value) -> Result<()> {
    let id = fields::text(campaign, "/id");
    let failed = fields::number(campaign, "/failed");
    match fields::word(campaign, "/state").as_str() {
        "SUCCEEDED" if failed == 0 => Ok(()),
        "SUCCEEDED" => Err(CliError::WorkFailed(format!(
            "{failed} targets failed and keep their old keys: keywright admin campaign targets {id} --state failed"
        ))),
        "CANCELLED" => Err(CliError::WorkFailed("the campaign was CANCELLED".to_owned())),
        "PAUSED" => Err(CliError::Unproven(format!(
            "the campaign is PAUSED ({}). Look at its targets, then: keywright admin campaign resume {id}",
            fields::text(campaign, "/pauseReason")
        ))),
        _ => Err(CliError::Unproven(format!(
            "the campaign still runs. Follow it with: keywright admin campaign watch {id}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_end_has_its_exit_code() {
        let cases = [
            ("succeeded", 0, 0),
            ("succeeded", 2, 10),
            ("cancelled", 0, 10),
            ("paused", 1, 9),
            ("running", 0, 9),
        ];
        for (state, failed, code) in cases {
            let result = verdict(&json!({"id": "cmp_1", "state": state, "failed": failed}));
            assert_eq!(result.map_or_else(|error| error.exit().code(), |()| 0), code, "{state}");
        }
    }

    #[test]
    fn progress_leaves_out_what_was_skipped_from_the_beginning() {
        let campaign = json!({"targetCount": 4, "pending": 1, "running": 1, "catchingUp": 1, "skipped": 9});
        assert_eq!(progress_of(&campaign), (1, 4));
    }
}
