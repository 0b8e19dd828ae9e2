//! `keywright login`: single sign-on, an invitation or a token becomes a profile.
//!
//! Invariant: the profiles file is open for writing before anything is spent that can be spent once.

mod device;
mod invitation;
mod loopback;
mod provider;
mod single_sign_on;
mod token_file;

use std::path::PathBuf;

use clap::Args;
use reqwest::Url;
use zeroize::Zeroizing;

use crate::app::{App, Setup};
use crate::client::{Answer, is_loopback};
use crate::error::Result;
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::output::view::identity;
use crate::profile::{Change, Profile};

#[derive(Args)]
#[command(after_help = "Examples:
  keywright login
  keywright login --device
  keywright login --invitation CODE --name \"Ada Lovelace\"
  keywright --profile ops login --token-file data/operator.token --url http://127.0.0.1:8480

Without a flag it asks the gateway how one logs in there: through the identity provider in a browser, or with an
invitation. The token is kept in the profile (mode 0600), which becomes the current one.")]
pub struct Login {
    /// The identity provider to log in through, where the gateway has several
    #[arg(long, value_name = "NAME", conflicts_with_all = ["invitation", "name", "token_file"])]
    provider: Option<String>,
    /// Log in by a code that you enter in a browser on any machine: for terminals without a browser
    #[arg(long, conflicts_with_all = ["invitation", "name", "token_file"])]
    device: bool,
    /// The code of an invitation; `-` reads it from the standard input. Asked for on a terminal
    #[arg(long, value_name = "CODE", conflicts_with = "token_file")]
    invitation: Option<String>,
    /// Your name, as the audit log shall show it, with an invitation
    #[arg(long, conflicts_with = "token_file")]
    name: Option<String>,
    /// Keep the token from this file instead (`-` is the standard input); it is tried first
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What a way in has brought.
struct Entered {
    token: Zeroizing<String>,
    /// The token's metadata or its principal, without the secret.
    shown: Answer,
    change: Change,
    /// Whether the token is of this login alone, so that a log-out ends it.
    session: bool,
}

impl Login {
    pub async fn run(self, setup: Setup, out: Output, interrupts: &Interrupts) -> Result<()> {
        let session = setup.login_session()?;
        let (name, url) = (session.profile.clone(), session.url.clone());
        let app = App::new(session, out, interrupts)?;
        let from_environment = setup.env.token.is_some();
        let entered = self.enter(&app, &setup, &name, &url).await?;
        store(entered.change, &name, &url, entered.token, entered.session)?;
        out.answer(&entered.shown, identity::token_or_principal(&entered.shown.value));
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

    async fn enter(self, app: &App<'_>, setup: &Setup, profile: &str, url: &Url) -> Result<Entered> {
        if let Some(file) = &self.token_file {
            return token_file::keep(app, setup, file, profile, url).await;
        }
        if self.invitation.is_some() || self.name.is_some() {
            return invitation::redeem(app, setup, self.invitation, self.name).await;
        }
        match single_sign_on::choose(app, self.provider.as_deref(), self.device).await? {
            Some(provider) => {
                if url.scheme() == "http" && !is_loopback(url) {
                    app.out.note(&format!(
                        "warning: {url} is not encrypted: others may read your token on the way"
                    ));
                }
                single_sign_on::log_in(app, setup, &provider, self.device).await
            }
            None => invitation::redeem(app, setup, None, None).await,
        }
    }
}

fn store(mut change: Change, name: &str, url: &Url, token: Zeroizing<String>, session: bool) -> Result<()> {
    let url = url.as_str().trim_end_matches('/').to_owned();
    let profile = Profile { url, token: token.to_string(), session };
    change.profiles.profiles.insert(name.to_owned(), profile);
    change.profiles.current = Some(name.to_owned());
    change.commit()
}
