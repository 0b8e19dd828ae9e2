//! `keywright login --invitation`

use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use super::Entered;
use crate::app::{App, Setup};
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::{fields, files};

/// The body of the redemption; borrowed, as the code is a secret.
#[derive(Serialize)]
struct Redeem<'a> {
    code: &'a str,
    name: &'a str,
}

pub async fn redeem(
    app: &App<'_>,
    setup: &Setup,
    code: Option<String>,
    name: Option<String>,
) -> Result<Entered> {
    let code = match code.as_deref() {
        Some("-") => files::read_passphrase(Path::new("-"))?,
        Some(code) => Zeroizing::new(code.trim().to_owned()),
        None => app.prompt.secret("Invitation code", false, "--invitation").await?,
    };
    let name = app.prompt.text(name, "Your name, for the audit log", "--name").await?;
    let change = setup.store.begin()?;
    let body = Redeem { code: &code, name: &name };
    let answer = app.client.post(&["api", "auth", "invitations", "redeem"], &body).await?;
    entered(&answer, change, false)
}

/// A new token and its metadata, which is shown without the secret: that is in the profile.
pub fn entered(answer: &Answer, change: crate::profile::Change, session: bool) -> Result<Entered> {
    let token = Zeroizing::new(fields::text(&answer.value, "/token").to_owned());
    if token.is_empty() {
        return Err(CliError::Protocol("the login answered no token".into()));
    }
    let shown = Answer::of(answer.value.pointer("/metadata").cloned().unwrap_or_default());
    Ok(Entered { token, shown, change, session })
}
