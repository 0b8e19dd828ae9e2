//! `keywright login`: an invitation or a token becomes a profile.
//!
//! Invariant: the profiles file is open for writing before the one-use code is spent.

use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Url;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::app::{App, Setup};
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::fields;
use crate::files;
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::output::view::identity;
use crate::profile::{Change, Profile, Session};

#[derive(Args)]
#[command(after_help = "Examples:
  keywright login --invitation CODE --name \"Ada Lovelace\"
  keywright --profile ops login --token-file data/operator.token --url http://127.0.0.1:8480

The token is kept in the profile (mode 0600), which becomes the current one.")]
pub struct Login {
    /// The code of an invitation; `-` reads it from the standard input. Asked for on a terminal
    #[arg(long, value_name = "CODE", conflicts_with = "token_file")]
    invitation: Option<String>,
    /// Your name, as the audit log shall show it
    #[arg(long, conflicts_with = "token_file")]
    name: Option<String>,
    /// Keep the token from this file instead (`-` is the standard input); it is tried first
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The body of the redemption; borrowed, as the code is a secret.
#[derive(Serialize)]
struct Redeem<'a> {
    code: &'a str,
    name: &'a str,
}

impl Login {
    pub async fn run(self, setup: Setup, out: Output, interrupts: &Interrupts) -> Result<()> {
        let session = setup.login_session()?;
        let (name, url) = (session.profile.clone(), session.url.clone());
        let app = App::new(session, out, interrupts)?;
        let from_environment = setup.env.token.is_some();
        let (token, shown, change) = match &self.token_file {
            Some(file) => keep(&app, &setup, file, &name, &url).await?,
            None => self.redeem(&app, &setup).await?,
        };
        store(change, &name, &url, token)?;
        out.answer(&shown, identity::token_or_principal(&shown.value));
        out.news(&format!(
            "Logged in to {url} as profile {name:?}; kept in {}.",
            setup.store.path().display()
        ));
        if from_environment {
            out.note(&format!(
                "KEYWRIGHT_TOKEN is set and is used instead of the profile: unset it, or pass --profile {name}."
            ));
        }
        Ok(())
    }

    async fn redeem(self, app: &App<'_>, setup: &Setup) -> Result<(Zeroizing<String>, Answer, Change)> {
        let code = match self.invitation.as_deref() {
            Some("-") => files::read_passphrase(Path::new("-"))?,
            Some(code) => Zeroizing::new(code.trim().to_owned()),
            None => app.prompt.secret("Invitation code", false, "--invitation").await?,
        };
        let name = app.prompt.text(self.name, "Your name, for the audit log", "--name").await?;
        let change = setup.store.begin()?;
        let body = Redeem { code: &code, name: &name };
        let answer = app.client.post(&["api", "auth", "invitations", "redeem"], &body).await?;
        let token = Zeroizing::new(fields::text(&answer.value, "/token").to_owned());
        if token.is_empty() {
            return Err(CliError::Protocol("the redemption answered no token".into()));
        }
        // Shown without the secret, which is in the profile.
        Ok((token, Answer::of(answer.value.pointer("/metadata").cloned().unwrap_or_default()), change))
    }
}

/// Tries a token that exists already.
async fn keep(
    app: &App<'_>,
    setup: &Setup,
    file: &Path,
    profile: &str,
    url: &Url,
) -> Result<(Zeroizing<String>, Answer, Change)> {
    let token = Zeroizing::new(files::read_passphrase(file)?.trim().to_owned());
    if token.is_empty() {
        return Err(CliError::Usage(format!("the token file {} is empty", file.display())));
    }
    let session = Session { profile: profile.to_owned(), url: url.clone(), token: Some(token.clone()) };
    let known = App::new(session, app.out, app.interrupts)?;
    let answer = known.client.get(&["api", "whoami"]).await?;
    Ok((token, answer, setup.store.begin()?))
}

fn store(mut change: Change, name: &str, url: &Url, token: Zeroizing<String>) -> Result<()> {
    let profile = Profile { url: url.as_str().trim_end_matches('/').to_owned(), token: token.to_string() };
    change.profiles.profiles.insert(name.to_owned(), profile);
    change.profiles.current = Some(name.to_owned());
    change.commit()
}
