//! `keywright server heartbeat …`: servers that are tested again and again, and how they are.

use clap::{Args, Subcommand};
use serde_json::json;

use super::fleet::{Status, wire};
use crate::app::App;
use crate::args::{PageArgs, duration, id};
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::output::view::heartbeat as view;

#[derive(Subcommand)]
pub enum Command {
    /// Have servers tested again and again, from now on
    #[command(after_help = "Examples:
  keywright server heartbeat set srv_… --every 5m
  keywright server heartbeat set srv_… srv_… srv_… --every 1h

A heartbeat is a test with the server's bound credential, all nine checks of it; the first follows at once. It changes
nothing on the server. When a server's state changes, people are told (keywright notify, server.state_changed) and the
audit log says so (server.state_change). What is down: keywright server heartbeat list --status unreachable.
Of several servers one that is refused holds up no other; exit code 10 then. The same again changes nothing.")]
    Set(Set),
    /// Show how a server is, since when, and when it is tested next
    Show {
        /// `srv_…`
        #[arg(value_name = "SERVER_ID", value_parser = id)]
        server: String,
    },
    /// List the servers that have a heartbeat and how they are, the last that got one first
    #[command(after_help = "Examples:
  keywright server heartbeat list --status unreachable    # what is down
  keywright server heartbeat list --tenant ten_… --all

SINCE says since when a server is so, SKIPPED why the last heartbeat could not test it.")]
    List {
        /// Only this tenant's, `ten_…`
        #[arg(long, value_name = "ID", value_parser = id)]
        tenant: Option<String>,
        /// Only servers whose last test ended so
        #[arg(long, value_enum)]
        status: Option<Status>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// List when a server's state changed, and to what, newest first
    #[command(
        after_help = "Every test with the bound credential counts, whoever asked for it. Each with all its checks:
  keywright server test-list srv_…"
    )]
    Changes {
        /// `srv_…`
        #[arg(value_name = "SERVER_ID", value_parser = id)]
        server: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Test a server no more by itself; what is known of it stays
    Remove {
        /// `srv_…`
        #[arg(value_name = "SERVER_ID", value_parser = id)]
        server: String,
    },
}

#[derive(Args)]
pub struct Set {
    /// `srv_…`; several are set one after the other
    #[arg(value_name = "SERVER_ID", value_parser = id, required = true)]
    servers: Vec<String>,
    /// How often, from a minute to seven days, as in 5m, 2h or 1d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    every: String,
}

const WHAT_IS_DOWN: &str = "What is down: keywright server heartbeat list --status unreachable";

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Set(command) => command.run(app).await,
        Command::Show { server } => {
            let answer = app.client.get(&of(&server)).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
        Command::List { tenant, status, page } => {
            let status = wire(status);
            let filter = [("tenantId", tenant.as_deref()), ("status", status.as_deref())];
            let page = app.client.list(&["api", "heartbeats"], &filter, &page).await?;
            app.out.page(&page, view::list(page.items()));
            Ok(())
        }
        Command::Changes { server, page } => {
            let path = ["api", "servers", &server, "state-changes"];
            let page = app.client.list(&path, &[], &page).await?;
            app.out.page(&page, view::changes(page.items()));
            Ok(())
        }
        Command::Remove { server } => {
            let answer = app.client.delete(&of(&server)).await?;
            app.out.answer(&answer, Vec::new());
            app.out.news(&format!("{server} has no heartbeat any more."));
            Ok(())
        }
    }
}

fn of(server: &str) -> [&str; 4] {
    ["api", "servers", server, "heartbeat"]
}

impl Set {
    async fn run(self, app: &App<'_>) -> Result<()> {
        let body = Body::new().put("interval", self.every);
        if let [server] = self.servers.as_slice() {
            let answer = app.client.put(&of(server), &body).await?;
            app.out.answer(&answer, view::one(&answer.value));
            app.out.news(WHAT_IS_DOWN);
            return Ok(());
        }
        let (mut set, mut failed, mut stopped) = (Vec::new(), Vec::new(), None);
        for server in &self.servers {
            match app.client.put(&of(server), &body).await {
                Ok(answer) => set.push(answer.value),
                Err(error) if is_its_own(&error) => {
                    let (reason, message) = (error.reason(), error.full_message());
                    app.out.note(&format!("{server}: {message} ({reason})"));
                    failed.push(json!({"serverId": server, "reason": reason, "message": message}));
                }
                Err(error) => {
                    stopped = Some((server, error));
                    break;
                }
            }
        }
        let answer = Answer::of(json!({"items": set, "failed": failed}));
        app.out.answer(&answer, vec![view::list(&set)]);
        if let Some((server, error)) = stopped {
            app.out.note(&format!(
                "{server} and those after it were not set. Give the same command again: what is set stays as it is."
            ));
            return Err(error);
        }
        match failed.len() {
            0 => {
                app.out.news(WHAT_IS_DOWN);
                Ok(())
            }
            failed => Err(CliError::WorkFailed(format!(
                "{failed} of {} servers were refused; the others have their heartbeat",
                self.servers.len()
            ))),
        }
    }
}

/// Whether this one server is refused; anything else would meet the next one too.
fn is_its_own(error: &CliError) -> bool {
    matches!(error, CliError::Api(error) if matches!(error.http, 404 | 409))
}
