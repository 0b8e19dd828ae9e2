//! `keywright server credential-switch`: moves servers to another credential.
//!
//! Invariant: one idempotency key for all requests of a run, so that the gateway goes on where a request ended, and a
//! lost answer is asked for again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::app::App;
use crate::args::{IdempotencyArg, id};
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::Count;
use crate::output::view::credential as view;

/// What a server that a request did not come to is marked with.
const NOT_REACHED: &str = "DEADLINE_EXCEEDED";

/// Between two looks, and before a request that failed is sent again.
const LOOK: Duration = Duration::from_secs(1);

/// Requests one after the other that brought nothing new; then it is time to look.
const PATIENCE: u32 = 3;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server credential-switch sshcred_OLD --to sshcred_NEW --test
  keywright server credential-switch sshcred_OLD --to sshcred_NEW --server srv_… --server srv_…

Every server is moved by itself. With --test Keywright first logs in to it with the new credential; a server whose test
does not log in keeps the old one. Exit code 9 unless every server was switched.")]
pub struct Switch {
    /// `sshcred_…`, the one in use now
    #[arg(value_name = "CREDENTIAL_ID", value_parser = id)]
    credential: String,
    /// `sshcred_…`, the new one
    #[arg(long, value_name = "CREDENTIAL_ID", value_parser = id)]
    to: String,
    /// Only this server; may be repeated. Default all that are bound to it
    #[arg(long = "server", value_name = "SERVER_ID", value_parser = id)]
    servers: Vec<String>,
    /// Log in to each server with the new credential first
    #[arg(long)]
    test: bool,
    /// The user of the new bindings; default the binding's own, then the new credential's
    #[arg(long)]
    username: Option<String>,
    /// Refuse if the usage is not the one with this revision any more
    #[arg(long, value_name = "REVISION")]
    expected_usage_revision: Option<String>,
    #[command(flatten)]
    idempotency: IdempotencyArg,
}

impl Switch {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let key = self.idempotency.idempotency_key.clone().unwrap_or_else(own_key);
        let body = Body::new()
            .put("toCredentialId", self.to.as_str())
            .flag("test", self.test)
            .texts("serverIds", &self.servers)
            .text("username", self.username.as_deref())
            .text("expectedUsageRevision", self.expected_usage_revision.as_deref())
            .put("idempotencyKey", key);
        let answer = self.switch(app, &body).await?;
        app.out.answer(&answer, view::switched(&answer.value));
        if self.test {
            return verdict(&answer.value);
        }
        if fields::number(&answer.value, "/switched") > 0 {
            app.out.note(
                "This does not prove that the new key reaches the servers: keywright server test SERVER_ID",
            );
        }
        verdict(&answer.value)
    }

    /// Sends the same request until every server was come to.
    async fn switch(&self, app: &App<'_>, body: &Body) -> Result<Answer> {
        let route = ["api", "credentials", "ssh", &self.credential, "switch"];
        let (mut left, mut idle) = (usize::MAX, 0);
        loop {
            let answer = match self.watched(app, app.client.post(&route, body)).await {
                Ok(answer) => answer,
                Err(error) if error.is_transient() && idle < PATIENCE => {
                    idle += 1;
                    app.out.note(&format!("{error}; asking again"));
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (open, all) = (not_reached(&answer.value), fields::list(&answer.value, "/results").len());
            if open == 0 {
                return Ok(answer);
            }
            app.out.note(&format!("{} of {all} servers are done; going on with the others", all - open));
            idle = if open < left { 0 } else { idle + 1 };
            left = open;
            if idle >= PATIENCE {
                return Ok(answer);
            }
        }
    }
}

impl Switch {
    /// Waits for an answer and shows meanwhile how many servers have left the old credential.
    async fn watched(&self, app: &App<'_>, answer: impl Future<Output = Result<Answer>>) -> Result<Answer> {
        let count = Count::new(app.out, "servers switched");
        if !count.is_drawn() {
            return answer.await;
        }
        let (mut answer, mut all) = (pin!(answer), None);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                left = self.bound(app) => if let Some(left) = left {
                    let all = *all.get_or_insert(left);
                    count.set(all.saturating_sub(left), all);
                },
            }
        }
    }

    /// How many of the servers that are meant are bound to the old credential, after a while.
    async fn bound(&self, app: &App<'_>) -> Option<usize> {
        let usage = app.client.get(&["api", "credentials", "ssh", &self.credential, "usage"]).await;
        tokio::time::sleep(LOOK).await;
        let usage = usage.ok()?.value;
        let bound = fields::list(&usage, "/servers").iter().map(|server| fields::text(server, "/serverId"));
        let meant = |id: &&str| self.servers.is_empty() || self.servers.iter().any(|it| it == id);
        Some(bound.filter(meant).count())
    }
}

fn not_reached(answer: &Value) -> usize {
    let results = fields::list(answer, "/results").iter();
    results.filter(|result| fields::text(result, "/reason") == NOT_REACHED).count()
}

/// No other run's.
fn own_key() -> String {
    let chance = || RandomState::new().build_hasher().finish();
    format!("credential-switch-{:016x}{:016x}", chance(), chance())
}

fn verdict(answer: &Value) -> Result<()> {
    let kept = fields::number(answer, "/kept");
    if kept == 0 {
        return Ok(());
    }
    let servers = if kept == 1 { "1 server keeps".to_owned() } else { format!("{kept} servers keep") };
    Err(CliError::Unproven(format!("{servers} the old credential; see the table for why")))
}
