//! `keywright console`: a one-use address that opens the web console as you.

use clap::Args;
use reqwest::Url;
use serde_json::json;

use crate::app::App;
use crate::browser;
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::fields::{text, time};
use crate::output::facts;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright console
  keywright console --print | ssh -t desktop 'xargs xdg-open'

The address works once, for 60 seconds. Its code stands behind the #, which a browser sends to nobody.
This version serves no page there: a program of your own opens the session by POST /api/auth/session {code}.")]
pub struct Console {
    /// Print the address and open no browser
    #[arg(long)]
    print: bool,
}

pub async fn run(command: Console, app: &App<'_>) -> Result<()> {
    let answer = app.client.post(&["api", "auth", "console-codes"], &json!({})).await?;
    let url = address(app.client.base(), text(&answer.value, "/code"))?;
    let until = time(&answer.value, "/expiresAt");
    let opened = !command.print && browser::open(&url);
    let shown = Answer::of(json!({"url": url.as_str(), "expiresAt": text(&answer.value, "/expiresAt")}));
    app.out.answer(&shown, vec![facts([("Address", url.to_string()), ("Works until", until)])]);
    if opened {
        app.out.news("Your browser should open.");
    }
    Ok(())
}

/// The console's page with the code in its fragment.
fn address(gateway: &Url, code: &str) -> Result<Url> {
    if code.is_empty() {
        return Err(CliError::Protocol("the gateway answered no code".into()));
    }
    let mut url = gateway.clone();
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(Some(&format!("code={code}")));
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_stands_where_no_server_sees_it() {
        let gateway = Url::parse("https://keys.example:8480/").unwrap();
        assert_eq!(address(&gateway, "kwcon-a").unwrap().as_str(), "https://keys.example:8480/#code=kwcon-a");
        assert!(address(&gateway, "").is_err());
    }
}
