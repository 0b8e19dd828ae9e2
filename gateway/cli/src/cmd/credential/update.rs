//! `keywright server credential-update`

use clap::Args;

use crate::app::App;
use crate::args::id;
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::output::view::credential as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server credential-update sshcred_… --name deploy-eu
  keywright server credential-update sshcred_… --allow-resolve true

With --allow-resolve true, internal services that hold the permission credential.resolve can be given the private key.
Only owners and admins of the tenant may say so.")]
pub struct Update {
    /// `sshcred_…`
    #[arg(value_name = "CREDENTIAL_ID", value_parser = id)]
    credential: String,
    /// The new name
    #[arg(long)]
    name: Option<String>,
    /// Whether internal services may be given the key
    #[arg(long, value_name = "true|false")]
    allow_resolve: Option<bool>,
    /// Refuse if the credential is not the one with this revision any more
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<String>,
}

impl Update {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        if self.name.is_none() && self.allow_resolve.is_none() {
            return Err(CliError::Usage("nothing to change: give --name or --allow-resolve".to_owned()));
        }
        let mut body = Body::new()
            .text("name", self.name.as_deref())
            .text("expectedRevision", self.expected_revision.as_deref());
        if let Some(allow) = self.allow_resolve {
            body = body.put("allowResolve", allow);
        }
        let answer = app.client.patch(&["api", "credentials", "ssh", &self.credential], &body).await?;
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}
