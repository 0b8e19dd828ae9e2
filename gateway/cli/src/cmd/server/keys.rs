//! `keywright server keys`: who can get into a server.

use clap::{Args, Subcommand};

use crate::app::App;
use crate::args::id;
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::fields::number;
use crate::output::view::server_keys as view;

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  keywright server keys srv_… --scan
  keywright server keys srv_… --all-columns
  keywright server keys adopt srv_… --account deploy --fingerprint SHA256:… --owner 'CI team'

Every key of every account of the server, and other ways in. MANAGED and MANAGEMENT are Keywright's; FOREIGN is
nobody's that Keywright knows, TRACKED has somebody who answers for it; ORPHAN was Keywright's and must not be there;
MISSING should be there and is not. Exit code 9 if a line is not as it should be: ORPHAN, MISSING, or CHANGED."
)]
pub struct Keys {
    #[command(subcommand)]
    command: Option<Command>,
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id, required = true)]
    server: Option<String>,
    /// Look at the server now; otherwise what the last scan saw
    #[arg(long)]
    scan: bool,
    /// Also file, line, options, access, note and first sight
    #[arg(long)]
    all_columns: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Somebody answers for a foreign key; nothing on the server changes
    Adopt(Adopt),
    /// Nobody answers for it any more; nothing on the server changes
    Forget(Named),
}

/// A key of the last scan.
#[derive(Args)]
struct Named {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// The account it stands in
    #[arg(long)]
    account: String,
    /// `SHA256:…`, as the table shows it
    #[arg(long)]
    fingerprint: String,
}

#[derive(Args)]
struct Adopt {
    #[command(flatten)]
    key: Named,
    /// Who answers for it
    #[arg(long)]
    owner: String,
    /// What it is for
    #[arg(long)]
    note: Option<String>,
}

impl Keys {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        match self.command {
            Some(Command::Adopt(command)) => return command.run(app).await,
            Some(Command::Forget(command)) => return command.forget(app).await,
            None => {}
        }
        let server = self.server.unwrap_or_default();
        let answer = if self.scan {
            app.client.post(&["api", "servers", &server, "keys", "scan"], &Body::new()).await?
        } else {
            app.client.get(&["api", "servers", &server, "keys"]).await?
        };
        app.out.answer(&answer, view::all(&answer.value, self.all_columns));
        if answer.value.pointer("/scannedAt").is_none_or(serde_json::Value::is_null) {
            app.out.news(&format!("Never looked at: keywright server keys {server} --scan"));
        }
        match number(&answer.value, "/drift") {
            0 => Ok(()),
            1 => Err(CliError::Unproven("one line of the server is not as it should be".into())),
            drift => {
                Err(CliError::Unproven(format!("{drift} lines of the server are not as they should be")))
            }
        }
    }
}

impl Adopt {
    async fn run(self, app: &App<'_>) -> Result<()> {
        let body = Body::new()
            .put("account", self.key.account)
            .put("fingerprint", self.key.fingerprint)
            .put("owner", self.owner)
            .text("note", self.note.as_deref());
        let answer = app.client.post(&["api", "servers", &self.key.server, "keys", "adopt"], &body).await?;
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}

impl Named {
    async fn forget(self, app: &App<'_>) -> Result<()> {
        let body = Body::new().put("account", self.account).put("fingerprint", self.fingerprint);
        let answer =
            app.client.delete_with(&["api", "servers", &self.server, "keys", "adopted"], &body).await?;
        app.out.answer(&answer, Vec::new());
        app.out.news("Nobody answers for the key any more. It still stands on the server.");
        Ok(())
    }
}
