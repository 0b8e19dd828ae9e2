//! `keywright rotation …`, and the waiting that `access provision`, `rotate` and `regenerate` share.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::{App, hosts};
use crate::args::{id, seconds};
use crate::client::{Answer, Followed, follow};
use crate::cmd::access::AccessRef;
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::Progress;
use crate::output::view::rotation as view;

#[derive(Subcommand)]
pub enum Command {
    /// List the last rotations of an access, newest first
    #[command(after_help = "Example:\n  keywright rotation list acc_…\n
The last five; every one ever is in the log: keywright audit list --target acc_… --action access.rotate")]
    List(AccessRef),
    /// Show a rotation and its steps
    Show {
        /// `rot_…`
        #[arg(value_name = "ROTATION_ID", value_parser = id)]
        rotation: String,
    },
    /// Follow a rotation until it ends
    #[command(
        after_help = "Exit code 0: SUCCEEDED. 9: still running or converging when the time was up. 10: FAILED, STUCK or SUPERSEDED."
    )]
    Watch {
        /// `rot_…`
        #[arg(value_name = "ROTATION_ID", value_parser = id)]
        rotation: String,
        /// How long to follow, as in 90s or 1h
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
        wait_timeout: u64,
    },
}

/// How long to wait for a rotation.
#[derive(Args)]
pub struct WaitArgs {
    /// Do not wait for the work to end
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait, as in 90s or 10m; the work goes on afterwards
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = seconds, conflicts_with = "no_wait")]
    pub wait_timeout: u64,
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List(access) => {
            let access = access.resolve(app).await?;
            let view = app.client.get(&access.route(&[])).await?.value;
            let items = fields::list(&view, "/recentRotations");
            let table = view::recent(items);
            app.out.answer(&Answer::of(json!({"items": items})), vec![table]);
            Ok(())
        }
        Command::Show { rotation } => {
            let answer = app.client.get(&["api", "rotations", &rotation]).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
        Command::Watch { rotation, wait_timeout } => {
            let now = app.client.get(&["api", "rotations", &rotation]).await?.value;
            let (tenant, access) = (fields::text(&now, "/tenantId"), fields::text(&now, "/accessId"));
            let access = app.client.get(&["api", "tenants", tenant, "ssh-access", access]).await?;
            let answer = wait(app, &rotation, hosts(&access.value), wait_timeout).await?;
            app.out.answer(&answer, view::one(&answer.value));
            verdict(&answer.value)
        }
    }
}

/// Shows a rotation as it goes and answers it as it is in the end, or when the time is up.
pub async fn wait(app: &App<'_>, id: &str, hosts: &[Value], wait_timeout: u64) -> Result<Answer> {
    app.interrupts
        .hint(&format!("The rotation goes on in Keywright. Follow it with: keywright rotation watch {id}"));
    let mut progress = Progress::new(app.out, hosts);
    let deadline = Instant::now() + Duration::from_secs(wait_timeout);
    let followed = follow(&app.client, ["api", "rotations", id], deadline, |rotation| {
        progress.rotation(rotation);
        has_ended(rotation)
    })
    .await;
    drop(progress);
    if followed? == Followed::TimedOut {
        app.out.news("The time to wait is up; the rotation goes on.");
    }
    let answer = app.client.get(&["api", "rotations", id]).await?;
    app.interrupts.hint("");
    Ok(answer)
}

fn has_ended(rotation: &Value) -> bool {
    !matches!(fields::text(rotation, "/state"), "running" | "converging" | "unspecified" | "")
}

/// Whether the rotation did what it is for.
///
/// # Errors
/// `WorkFailed` if it ended without, `Unproven` if it has not ended.
pub fn verdict(rotation: &Value) -> Result<()> {
    let id = fields::text(rotation, "/id");
    let why = [fields::text(rotation, "/reason"), fields::text(rotation, "/message")].join(" ");
    let why = why.trim();
    match fields::word(rotation, "/state").as_str() {
        "SUCCEEDED" => Ok(()),
        "CONVERGING" => {
            let stands = match fields::word(rotation, "/kind").as_str() {
                "REMOVE_HOST" => "the host is not proven to refuse the keys yet",
                _ => "the new key is in use, but not every host has it yet",
            };
            Err(CliError::Unproven(format!(
                "{stands}. Keywright keeps trying; follow it with `keywright rotation watch {id}`"
            )))
        }
        "FAILED" => {
            let stays = match fields::word(rotation, "/kind").as_str() {
                "ROTATE" => "the old key stays",
                "ADD_HOST" => "the access keeps the hosts that it had",
                _ => "no key came into use",
            };
            Err(CliError::WorkFailed(format!("the rotation FAILED and was undone; {stays}. {why}")))
        }
        "SUPERSEDED" => {
            Err(CliError::WorkFailed(format!("the rotation was SUPERSEDED by a revocation. {why}")))
        }
        "STUCK" => Err(CliError::WorkFailed(format!(
            "the rotation is STUCK: undoing it failed, and an operator must look at `keywright rotation show {id}`. {why}"
        ))),
        _ => Err(CliError::Unproven(format!(
            "the rotation still runs. Follow it with `keywright rotation watch {id}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_stays_by_its_kind() {
        let said = |kind: &str| verdict(&json!({"state": "failed", "kind": kind})).unwrap_err().to_string();
        assert!(said("rotate").contains("the old key stays"));
        for kind in ["provision", "regenerate", "add_host"] {
            assert!(!said(kind).contains("old key"), "{kind}");
        }
    }

    #[test]
    fn each_state_has_its_exit_code() {
        let expected = [
            ("succeeded", 0),
            ("running", 9),
            ("converging", 9),
            ("failed", 10),
            ("superseded", 10),
            ("stuck", 10),
        ];
        for (state, code) in expected {
            let result = verdict(&json!({"id": "rot_1", "state": state}));
            assert_eq!(result.map_or_else(|error| error.exit().code(), |()| 0), code, "{state}");
        }
    }
}
