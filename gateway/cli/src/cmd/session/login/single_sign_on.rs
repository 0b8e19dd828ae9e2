//! Single sign-on: which provider, then its ID token for Keywright's own token. The ID token is kept nowhere.

use serde::Serialize;
use zeroize::Zeroizing;

use super::provider::Provider;
use super::{Entered, device, invitation, loopback};
use crate::app::{App, Setup};
use crate::error::{CliError, Result};
use crate::fields;

/// The provider to log in through; none where the gateway has no single sign-on and none was asked for.
pub async fn choose(app: &App<'_>, name: Option<&str>, device: bool) -> Result<Option<Provider>> {
    let asked = name.is_some() || device;
    let methods = match app.client.get(&["api", "auth", "methods"]).await {
        Ok(methods) => methods,
        // A gateway from before single sign-on.
        Err(CliError::Api(error)) if error.http == 404 && !asked => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut providers: Vec<Provider> =
        fields::list(&methods.value, "/providers").iter().filter_map(Provider::of).collect();
    let names = || fields::list(&methods.value, "/providers").iter().map(|p| fields::text(p, "/name"));
    if let Some(name) = name {
        let found = providers.into_iter().find(|provider| provider.name == name);
        let all: Vec<&str> = names().collect();
        return found.map(Some).ok_or_else(|| {
            CliError::Usage(format!("the gateway has no provider {name:?}; it has: {}", shown(&all)))
        });
    }
    match providers.len() {
        0 if asked => {
            Err(CliError::Usage("the gateway has no single sign-on; log in with --invitation".into()))
        }
        0 => Ok(None),
        1 => Ok(providers.pop()),
        _ => {
            let all: Vec<String> = names().map(str::to_owned).collect();
            let at = app.prompt.choose("Log in through", all, "--provider").await?;
            Ok(providers.into_iter().nth(at))
        }
    }
}

fn shown(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The body of the login; borrowed, as the ID token is a secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Login<'a> {
    id_token: &'a str,
    nonce: &'a str,
}

/// What a provider gave.
pub struct Proof {
    pub id_token: Zeroizing<String>,
    /// Empty where none was sent.
    pub nonce: String,
}

pub async fn log_in(app: &App<'_>, setup: &Setup, provider: &Provider, device: bool) -> Result<Entered> {
    let endpoints = provider.discover().await?;
    if device {
        let proof = device::prove(app, provider, &endpoints).await?;
        return exchange(app, setup, &proof).await;
    }
    let (proof, page) = loopback::prove(app, provider, &endpoints).await?;
    let entered = exchange(app, setup, &proof).await;
    page.show(entered.is_ok()).await;
    entered
}

async fn exchange(app: &App<'_>, setup: &Setup, proof: &Proof) -> Result<Entered> {
    let change = setup.store.begin()?;
    let body = Login { id_token: &proof.id_token, nonce: &proof.nonce };
    let answer = app.client.post(&["api", "auth", "oidc"], &body).await?;
    invitation::entered(&answer, change, true)
}
