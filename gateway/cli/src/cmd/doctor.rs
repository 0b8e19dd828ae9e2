//! `keywright doctor`: the way to the gateway, step by step.

use clap::Args;
use serde_json::{Value, json};

use crate::app::{App, Setup};
use crate::client::{Answer, Client};
use crate::error::{CliError, Result};
use crate::fields;
use crate::interrupt::Interrupts;
use crate::output::{Output, facts, grid};

#[derive(Args)]
#[command(after_help = "A test of a server is `keywright server test` (also called `server doctor`).
Exit code 9 if a check fails.")]
pub struct Doctor {}

impl Doctor {
    pub async fn run(self, setup: &Setup, out: Output, interrupts: &Interrupts) -> Result<()> {
        let session = setup.session()?;
        let profile = session.profile.clone();
        let app = App::new(session, out, interrupts)?;
        let checks = [
            health(&app.client, "healthz", "is the server running, and KEYWRIGHT_URL right?").await,
            health(&app.client, "readyz", "a service or store is missing: see the server's log").await,
            token(&app.client).await,
        ];
        let url = app.client.base().as_str();
        let healthy = checks.iter().all(|check| fields::text(check, "/status") == "passed");
        let rows = checks
            .iter()
            .map(|check| {
                let field = |name| fields::text(check, name).to_owned();
                vec![field("/name"), fields::word(check, "/status"), field("/message"), field("/remedy")]
            })
            .collect();
        let blocks = vec![
            facts([("Gateway", url.to_owned()), ("Profile", profile)]),
            grid(&["CHECK", "STATUS", "MESSAGE", "REMEDY"], rows),
        ];
        out.answer(&Answer::of(json!({"url": url, "healthy": healthy, "checks": checks})), blocks);
        if healthy { Ok(()) } else { Err(CliError::Unproven("not everything is healthy".into())) }
    }
}

async fn health(client: &Client, path: &'static str, remedy: &str) -> Value {
    match client.probe(&[path]).await {
        Ok((200..=299, _)) => check(path, true, "answers", ""),
        Ok((status, _)) => check(path, false, &format!("HTTP status {status}"), remedy),
        Err(error) => check(path, false, &short(&error), remedy),
    }
}

async fn token(client: &Client) -> Value {
    if !client.has_token() {
        return check("token", false, "there is none", "set KEYWRIGHT_TOKEN or run `keywright login`");
    }
    match client.get(&["api", "whoami"]).await {
        Ok(me) => {
            let role = fields::word(&me.value, "/role");
            let until = fields::time(&me.value, "/expiresAt");
            check("token", true, &format!("{} {role} until {until}", fields::text(&me.value, "/id")), "")
        }
        Err(error) => check("token", false, &short(&error), "log in again, or set another KEYWRIGHT_TOKEN"),
    }
}

fn short(error: &CliError) -> String {
    match error {
        CliError::Unreachable { cause, .. } => cause.clone(),
        error => error.to_string(),
    }
}

fn check(name: &str, passed: bool, message: &str, remedy: &str) -> Value {
    let status = if passed { "passed" } else { "failed" };
    json!({"name": name, "status": status, "message": message, "remedy": remedy})
}
