//! `keywright server credential-delete`

use clap::Args;
use serde_json::json;

use super::rotate::is_used;
use crate::app::App;
use crate::args::{IdempotencyArg, id};
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::output::view::credential as view;

#[derive(Args)]
#[command(after_help = "Example:\n  keywright server credential-delete sshcred_… --confirm sshcred_…

Only a credential that no active or inactive server uses can be deleted; its key is destroyed.")]
pub struct Delete {
    /// `sshcred_…`
    #[arg(value_name = "CREDENTIAL_ID", value_parser = id)]
    credential: String,
    /// Type the exact credential id to confirm; required without a terminal
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
    #[command(flatten)]
    idempotency: IdempotencyArg,
}

impl Delete {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.as_ref(), &self.credential)?;
        let route = ["api", "credentials", "ssh", &self.credential];
        let confirmed = match self.confirm {
            Some(confirmed) => confirmed,
            None => ask(app, &self.credential).await?,
        };
        let body = Body::new()
            .put("confirmation", json!({"credentialId": confirmed}))
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        let answer = app.client.delete_with(&route, &body).await?;
        app.out.answer(&answer, Vec::new());
        app.out.news(&format!("{} is deleted and its key destroyed.", self.credential));
        Ok(())
    }
}

/// Shows the usage; only an unused credential is worth typing for.
async fn ask(app: &App<'_>, id: &str) -> Result<String> {
    let usage = app.client.get(&["api", "credentials", "ssh", id, "usage"]).await?.value;
    if is_used(&usage) {
        app.out.aside(&view::usage(&usage));
        return Err(CliError::Refused(format!(
            "{id} is in use and cannot be deleted. Unbind or switch the servers above first: keywright server credential unbind SERVER_ID, or keywright server credential-switch {id} --to OTHER_ID --test"
        )));
    }
    app.out.note(&format!("Nothing uses {id}. Its key will be destroyed; that cannot be undone."));
    app.prompt.type_id(id, "--confirm").await
}
