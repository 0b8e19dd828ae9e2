//! `keywright admin health`, `custody`, `unseal`, `seal`, `rotate-key`: the secret store and its key-encryption key.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::app::App;
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::fields;
use crate::files;
use crate::output::view::custody as view;

const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

#[derive(Args)]
#[command(after_help = "Examples:
  keywright admin unseal
  keywright admin unseal --passphrase-file /run/secrets/keywright
  pass show keywright | keywright admin unseal --passphrase-file -

It opens the one server process that answers. After a restart it is sealed again.")]
pub struct Unseal {
    /// A file whose first line is the passphrase; `-` is the standard input; asked for on a terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  keywright admin rotate-key
  keywright admin rotate-key --passphrase-file old.txt --new-passphrase-file new.txt

Everything goes on working meanwhile. Backups made before open with the old key only, which is destroyed: make one
afterwards.")]
pub struct RotateKey {
    /// A file whose first line is the present passphrase, where there is one; asked for on a terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A file whose first line is the passphrase of the new key; default: the present one. A key in the clear gets
    /// under a passphrase by this
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

/// Borrowed, never put into a JSON value.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Passphrases<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_passphrase: Option<&'a str>,
}

pub async fn status(app: &App<'_>) -> Result<()> {
    let answer = app.client.get(&["api", "admin", "secrets", "custody"]).await?;
    app.out.answer(&answer, view::status(&answer.value));
    Ok(())
}

pub async fn health(app: &App<'_>) -> Result<()> {
    let answer = app.client.get(&["api", "admin", "secrets", "health"]).await?;
    app.out.answer(&answer, view::health(&answer.value));
    match fields::text(&answer.value, "/message") {
        "" => Ok(()),
        message => Err(CliError::Unproven(format!("the secret store is not well: {message}"))),
    }
}

pub async fn seal(app: &App<'_>) -> Result<()> {
    let answer = app.client.post(&["api", "admin", "secrets", "seal"], &Body::new()).await?;
    app.out.answer(&answer, view::status(&answer.value));
    Ok(())
}

impl Unseal {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let passphrase = match &self.passphrase_file {
            Some(file) => files::read_passphrase(file)?,
            None => ask(app).await?,
        };
        let body = Passphrases { passphrase: Some(passphrase.as_str()), new_passphrase: None };
        let answer = app.client.post(&["api", "admin", "secrets", "unseal"], &body).await?;
        app.out.answer(&answer, view::status(&answer.value));
        Ok(())
    }
}

impl RotateKey {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let passphrase = self.passphrase_file.as_deref().map(files::read_passphrase).transpose()?;
        let new = self.new_passphrase_file.as_deref().map(files::read_passphrase).transpose()?;
        let answer = match post(app, passphrase.as_ref(), new.as_ref()).await {
            Err(CliError::Api(error))
                if error.reason == "PASSPHRASE_REQUIRED"
                    && passphrase.is_none()
                    && app.prompt.is_terminal() =>
            {
                post(app, Some(&ask(app).await?), new.as_ref()).await?
            }
            result => result?,
        };
        let answer = finished(app, answer).await?;
        app.out.answer(&answer, view::status(&answer.value));
        app.out
            .news("Backups made before this open with the old key only, which is gone: make a new one now.");
        Ok(())
    }
}

async fn ask(app: &App<'_>) -> Result<Zeroizing<String>> {
    app.prompt.secret("Passphrase of the key-encryption key", false, "--passphrase-file").await
}

async fn post(
    app: &App<'_>,
    passphrase: Option<&Zeroizing<String>>,
    new: Option<&Zeroizing<String>>,
) -> Result<Answer> {
    let body = Passphrases {
        passphrase: passphrase.map(|text| text.as_str()),
        new_passphrase: new.map(|text| text.as_str()),
    };
    app.client.post(&["api", "admin", "secrets", "key-encryption-key", "rotate"], &body).await
}

/// The state when every data key lies under the new key. Ctrl-C ends the waiting, not the rotation.
async fn finished(app: &App<'_>, mut answer: Answer) -> Result<Answer> {
    let runs = |it: &Answer| {
        fields::number(&it.value, "/dataKeysOutstanding") > 0 && !fields::flag(&it.value, "/sealed")
    };
    while runs(&answer) {
        sleep(BETWEEN_LOOKS).await;
        answer = app.client.get(&["api", "admin", "secrets", "custody"]).await?;
    }
    Ok(answer)
}
