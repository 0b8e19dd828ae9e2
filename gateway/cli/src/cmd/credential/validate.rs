//! `keywright server credential-validate`

use clap::Args;

use crate::app::App;
use crate::client::{Answer, Body};
use crate::cmd::key::KeyArgs;
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::view::credential as view;

#[derive(Args)]
#[command(after_help = "Example:\n  keywright server credential-validate --private-key-file ~/.ssh/deploy

Nothing is stored. Exit code 9 if a check fails.")]
pub struct Validate {
    #[command(flatten)]
    key: KeyArgs,
    /// A public key file that must belong to the private key
    #[arg(long, value_name = "FILE")]
    public_key_file: Option<std::path::PathBuf>,
}

impl Validate {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let mut key = self.key.read(app).await?;
        let public_key = super::rotate::public_key(self.public_key_file.as_deref())?;
        let body = Body::new().text("publicKey", public_key.as_deref());
        let path = ["api", "credentials", "ssh", "validate"];
        let mut answer = app.client.post(&path, &key.with(&body)).await?;
        if wants_passphrase(&answer) && key.can_ask(app) {
            key.ask(app).await?;
            answer = app.client.post(&path, &key.with(&body)).await?;
        }
        app.out.answer(&answer, view::validation(&answer.value));
        match fields::flag(&answer.value, "/valid") {
            true => Ok(()),
            false => Err(CliError::Unproven("the key did not pass every check".into())),
        }
    }
}

fn wants_passphrase(answer: &Answer) -> bool {
    fields::list(&answer.value, "/checks")
        .iter()
        .any(|check| fields::text(check, "/code") == "PASSPHRASE_REQUIRED")
}
