//! `keywright server credential-update`

use std::path::PathBuf;

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
  keywright server credential-update sshcred_… --certificate-file deploy-cert.pub

With --allow-resolve true, internal services that hold the permission credential.resolve can be given the private key.
Only owners and admins of the tenant may say so. A certificate must be of the credential's key; renew it before it
expires.")]
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
    /// A certificate of the key in use (`…-cert.pub`), in place of the present one
    #[arg(long, value_name = "FILE", conflicts_with = "clear_certificate")]
    certificate_file: Option<PathBuf>,
    /// Remove the certificate: logins present the public key
    #[arg(long)]
    clear_certificate: bool,
    /// Refuse if the credential is not the one with this revision any more
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<String>,
}

impl Update {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let certificate = match self.clear_certificate {
            true => Some(String::new()),
            false => super::rotate::certificate(self.certificate_file.as_deref())?,
        };
        if self.name.is_none() && self.allow_resolve.is_none() && certificate.is_none() {
            return Err(CliError::Usage(
                "nothing to change: give --name, --allow-resolve, --certificate-file or --clear-certificate"
                    .to_owned(),
            ));
        }
        let mut body = Body::new()
            .text("name", self.name.as_deref())
            .text("certificate", certificate.as_deref())
            .text("expectedRevision", self.expected_revision.as_deref());
        if let Some(allow) = self.allow_resolve {
            body = body.put("allowResolve", allow);
        }
        let answer = app.client.patch(&["api", "credentials", "ssh", &self.credential], &body).await?;
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}
