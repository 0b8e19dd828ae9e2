//! `keywright login --token-file`

use std::path::Path;

use reqwest::Url;
use zeroize::Zeroizing;

use super::Entered;
use crate::app::{App, Setup};
use crate::error::{CliError, Result};
use crate::files;
use crate::profile::Session;

/// Tries a token that exists already.
pub async fn keep(app: &App<'_>, setup: &Setup, file: &Path, profile: &str, url: &Url) -> Result<Entered> {
    let token = Zeroizing::new(files::read_passphrase(file)?.trim().to_owned());
    if token.is_empty() {
        return Err(CliError::Usage(format!("the token file {} is empty", file.display())));
    }
    let session = Session { profile: profile.to_owned(), url: url.clone(), token: Some(token.clone()) };
    let known = App::new(session, app.out, app.interrupts)?;
    let shown = known.client.get(&["api", "whoami"]).await?;
    Ok(Entered { token, shown, change: setup.store.begin()?, session: false })
}
