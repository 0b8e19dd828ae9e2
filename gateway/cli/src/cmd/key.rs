//! Private keys that commands send: read from files by the client, asked for where they are missing.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::app::App;
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::files;

/// Where the private key and its passphrase are.
#[derive(Args)]
pub struct KeyArgs {
    /// The private key's file (OpenSSH, PKCS#1, PKCS#8, SEC1 or PuTTY); `-` is the standard input
    #[arg(long, value_name = "FILE")]
    pub private_key_file: Option<PathBuf>,
    /// A file whose first line is the key's passphrase; asked for on a terminal if it is needed
    #[arg(long, value_name = "FILE", requires = "private_key_file")]
    pub passphrase_file: Option<PathBuf>,
}

/// A key on its way. No `Debug`, no copies.
pub struct KeyMaterial {
    private_key: Zeroizing<String>,
    passphrase: Option<Zeroizing<String>>,
}

/// A request that carries a key: the key's fields are borrowed, never put into a JSON value.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WithKey<'a> {
    private_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<&'a str>,
    #[serde(flatten)]
    rest: &'a Body,
}

impl KeyArgs {
    pub fn is_given(&self) -> bool {
        self.private_key_file.is_some()
    }

    /// Reads the key; asks for its file if there is a terminal.
    pub async fn read(self, app: &App<'_>) -> Result<KeyMaterial> {
        let file = match self.private_key_file {
            Some(file) => file,
            None => files::typed(&app.prompt.text(None, "Private key file", "--private-key-file").await?),
        };
        let private_key = files::read_text(&file, "private key file")?;
        let passphrase = self.passphrase_file.as_deref().map(files::read_passphrase).transpose()?;
        Ok(KeyMaterial { private_key, passphrase })
    }
}

impl KeyMaterial {
    pub fn with<'a>(&'a self, rest: &'a Body) -> WithKey<'a> {
        WithKey {
            private_key: &self.private_key,
            passphrase: self.passphrase.as_ref().map(|passphrase| passphrase.as_str()),
            rest,
        }
    }

    /// Whether the passphrase can still be asked for.
    pub fn can_ask(&self, app: &App<'_>) -> bool {
        self.passphrase.is_none() && app.prompt.is_terminal()
    }

    pub async fn ask(&mut self, app: &App<'_>) -> Result<()> {
        let passphrase =
            app.prompt.secret("Passphrase of the private key", false, "--passphrase-file").await?;
        self.passphrase = Some(passphrase);
        Ok(())
    }

    /// Posts the key with the rest; if it turns out to be encrypted, asks for the passphrase and posts again.
    pub async fn post(&mut self, app: &App<'_>, path: &[&str], rest: &Body) -> Result<Answer> {
        match app.client.post(path, &self.with(rest)).await {
            Err(CliError::Api(error)) if error.reason == "PASSPHRASE_REQUIRED" && self.can_ask(app) => {
                self.ask(app).await?;
                app.client.post(path, &self.with(rest)).await
            }
            result => result,
        }
    }
}
