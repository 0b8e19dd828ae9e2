//! `keywright server credential bind` and `unbind`

use clap::{Args, Subcommand};
use serde_json::Value;

use super::test::verdict;
use crate::app::App;
use crate::args::{PageArgs, id};
use crate::client::Body;
use crate::error::Result;
use crate::fields;
use crate::output::view::{connectivity, server as view};

#[derive(Subcommand)]
pub enum Command {
    /// Bind a saved credential to a server and test it
    #[command(after_help = "Example:\n  keywright server credential bind srv_… sshcred_… --username deploy

The binding is kept whatever the test says. Exit code 9 if the test is not HEALTHY.")]
    Bind(Bind),
    /// Remove the binding; the credential stays
    Unbind {
        /// `srv_…`
        #[arg(value_name = "SERVER_ID", value_parser = id)]
        server: String,
    },
}

#[derive(Args)]
pub struct Bind {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// `sshcred_…`, saved
    #[arg(value_name = "CREDENTIAL_ID", value_parser = id)]
    credential: String,
    /// The user to log in as; default the credential's
    #[arg(long)]
    username: Option<String>,
    /// Do not test now; the binding shows UNVERIFIED
    #[arg(long)]
    skip_test: bool,
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Bind(command) => command.run(app).await,
        Command::Unbind { server } => {
            let answer = app.client.delete(&["api", "servers", &server, "credentials"]).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
    }
}

impl Bind {
    async fn run(self, app: &App<'_>) -> Result<()> {
        let body = Body::new()
            .put("credentialId", self.credential)
            .text("username", self.username.as_deref())
            .flag("skipTest", self.skip_test);
        let answer = app.client.post(&["api", "servers", &self.server, "credentials"], &body).await?;
        let server = answer.value.pointer("/server").cloned().unwrap_or_default();
        app.out.answer(&answer, view::one(&server));
        let test = fields::text(&answer.value, "/connectivityTestId");
        if test.is_empty() {
            app.out.news(&format!("Not tested: keywright server test {}", self.server));
            return Ok(());
        }
        let Some(test) = find(app, &self.server, test).await? else { return Ok(()) };
        app.out.blocks(connectivity::one(&test));
        verdict(&test)
    }
}

/// The test that the binding ran, among the server's last ones.
async fn find(app: &App<'_>, server: &str, test: &str) -> Result<Option<Value>> {
    let last = PageArgs { limit: 20, all: false, page_token: None };
    let page = app.client.list(&["api", "servers", server, "connectivity-tests"], &[], &last).await?;
    Ok(page.items().iter().find(|item| fields::text(item, "/id") == test).cloned())
}
