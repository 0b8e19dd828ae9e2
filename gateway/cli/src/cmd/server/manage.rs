//! `keywright server manage`: Keywright's own key onto a server.

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::args::id;
use crate::client::{Answer, Body};
use crate::cmd::key::{KeyArgs, KeyMaterial, WithKey};
use crate::error::{CliError, Result};
use crate::output::view::management as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server manage srv_… --credential sshcred_…
  keywright server manage srv_… --private-key-file ~/.ssh/bootstrap --username root

Logs in once with the bootstrap credential (root, a user with sudo, or one with the rule of deploy/sudoers), installs
Keywright's own management key, proves it, and forgets the bootstrap. A key from a file is never stored.")]
pub struct Manage {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// Log in with this saved credential
    #[arg(long, value_name = "ID", value_parser = id, conflicts_with = "private_key_file")]
    credential: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// The account to log in to; default the saved credential's
    #[arg(long)]
    username: Option<String>,
}

/// The body of the bootstrap.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bootstrap<T> {
    bootstrap_credential: T,
}

impl Manage {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let route = ["api", "servers", &self.server, "management"];
        let answer = match self.credential {
            Some(credential) => {
                let body =
                    Body::new().put("credentialId", credential).text("username", self.username.as_deref());
                app.client.post(&route, &Bootstrap { bootstrap_credential: body }).await?
            }
            None => {
                if !self.key.is_given() && !app.prompt.is_terminal() {
                    return Err(CliError::Usage(
                        "--credential or --private-key-file is required: there is no terminal to ask at"
                            .into(),
                    ));
                }
                let mut key = self.key.read(app).await?;
                let user = app.prompt.text(self.username, "User to log in as", "--username").await?;
                with_key(app, &route, &mut key, &Body::new().put("username", user)).await?
            }
        };
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}

/// Sends the one-time key; asks for its passphrase if it turns out to have one.
async fn with_key(app: &App<'_>, route: &[&str], key: &mut KeyMaterial, rest: &Body) -> Result<Answer> {
    let first: Bootstrap<WithKey<'_>> = Bootstrap { bootstrap_credential: key.with(rest) };
    match app.client.post(route, &first).await {
        Err(CliError::Api(error)) if error.reason == "PASSPHRASE_REQUIRED" && key.can_ask(app) => {
            key.ask(app).await?;
            app.client.post(route, &Bootstrap { bootstrap_credential: key.with(rest) }).await
        }
        result => result,
    }
}
