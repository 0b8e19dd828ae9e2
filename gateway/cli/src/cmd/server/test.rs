//! `keywright server test`, of a registered server, of a draft or of all, and `test-list`

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::args::{PageArgs, id};
use crate::client::{Answer, Body};
use crate::cmd::key::{KeyArgs, WithKey};
use crate::cmd::server::agent_test::{AgentArgs, Place};
use crate::cmd::server::fleet::FleetArgs;
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::view::connectivity as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server test srv_…
  keywright server test srv_… --credential sshcred_… --username deploy
  keywright server test --all --label env=prod --parallel 64
  keywright server test --host 192.0.2.10 --private-key-file ~/.ssh/deploy --username deploy --expect-host-key SHA256:…
  keywright server test --host 10.0.0.5 --jump-host srv_… --private-key-file ~/.ssh/deploy --username deploy
  keywright server test srv_… --agent --username deploy
  keywright server test --host 192.0.2.10 --agent --identity ~/.ssh/deploy.pub --username deploy --expect-host-key SHA256:…

The checks, in order: key, passphrase, dns, tcp, handshake, host-key, authentication, session, runtime. A draft
(--host) stores nothing. --all tests every active server with its bound credential, spread over all replicas, and goes on
when you stop watching: keywright server fleet-test. Exit code 9 unless HEALTHY.

With --agent the key stays in your SSH agent (SSH_AUTH_SOCK): Keywright connects, and asks this program for the signature
of that one login, for 45 seconds. It is made only for your user and key, on a host that proves one of the host keys that
you expect: those of --expect-host-key, else those pinned with the server. The agent is told which host it is
(session-bind), so that keys with destination constraints (ssh-add -h) can be used. Keywright is the client of that login:
name only an account that it may act on for the length of the test.")]
pub struct Test {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id, required_unless_present_any = ["host", "all"],
          conflicts_with_all = OF_DRAFT, conflicts_with_all = OF_FLEET)]
    server: Option<String>,
    /// Test this host, which is not registered, with a one-time key or one of your agent
    #[arg(long, conflicts_with_all = OF_FLEET)]
    host: Option<String>,
    /// With --host: the TCP port; default 22
    #[arg(long, requires = "host", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// With --host or --agent: a host key's fingerprint to expect; may be repeated. Without any, --host tries no login
    #[arg(long = "expect-host-key", value_name = "SHA256:…", conflicts_with = "all")]
    expected: Vec<String>,
    /// With --host: the registered server through which it is reached, `srv_…`
    #[arg(long, value_name = "ID", value_parser = id, requires = "host", conflicts_with = "all")]
    jump_host: Option<String>,
    /// Another saved credential than the bound one
    #[arg(long, value_name = "ID", value_parser = id, conflicts_with_all = ["private_key_file", "host"])]
    credential: Option<String>,
    /// The user to log in as; default the binding's, then the credential's
    #[arg(long)]
    username: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Args)]
pub struct TestList {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    #[command(flatten)]
    page: PageArgs,
}

/// What says something of a draft, and of many servers. A `requires` alone does not hold where the required argument is
/// excluded by another one.
const OF_DRAFT: [&str; 3] = ["host", "port", "jump_host"];
const OF_FLEET: [&str; 12] = [
    "all",
    "tenant",
    "group",
    "labels",
    "servers",
    "parallel",
    "per_host",
    "per_network",
    "reason",
    "no_wait",
    "wait_timeout",
    "idempotency_key",
];

/// A test with a key for this once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneTime<'a> {
    one_time: WithKey<'a>,
    #[serde(flatten)]
    rest: &'a Body,
}

impl Test {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        if self.fleet.all {
            return self.fleet.run(app).await;
        }
        if self.server.is_some() && !self.expected.is_empty() && !self.agent.is_given() {
            let what =
                "--expect-host-key goes with --host or --agent: a registered server has its pinned host keys";
            return Err(CliError::Usage(what.into()));
        }
        let answer = match (&self.server, &self.host) {
            _ if self.agent.is_given() => self.by_agent(app).await?,
            (Some(server), _) if !self.key.is_given() => {
                let body = Body::new()
                    .text("credentialId", self.credential.as_deref())
                    .text("username", self.username.as_deref());
                run_test(app, server, &body).await?
            }
            (Some(server), _) => {
                let route =
                    ["api", "servers", server.clone().as_str(), "connectivity-tests"].map(str::to_owned);
                self.one_time(app, &route, Body::new()).await?
            }
            (None, host) => {
                let mut body = Body::new()
                    .text("host", host.as_deref())
                    .texts("expectedHostKeys", &self.expected)
                    .text("jumpHostId", self.jump_host.as_deref());
                if let Some(port) = self.port {
                    body = body.put("port", port);
                }
                let route = ["api", "servers", "connectivity-tests"].map(str::to_owned);
                self.one_time(app, &route, body).await?
            }
        };
        app.out.answer(&answer, view::one(&answer.value));
        verdict(&answer.value)
    }

    async fn by_agent(self, app: &App<'_>) -> Result<Answer> {
        let place = match (self.server, self.host) {
            (Some(server), _) => Place::Server { id: server, expected: self.expected },
            (None, host) => Place::Draft {
                host: host.unwrap_or_default(),
                port: self.port,
                jump_host: self.jump_host,
                expected: self.expected,
            },
        };
        self.agent.run(app, place, self.username).await
    }

    async fn one_time(self, app: &App<'_>, route: &[String], rest: Body) -> Result<Answer> {
        let key = self.key.read(app).await?;
        let user = app.prompt.text(self.username, "User to log in as", "--username").await?;
        let user = Body::new().put("username", user);
        let route: Vec<&str> = route.iter().map(String::as_str).collect();
        app.client.post(&route, &OneTime { one_time: key.with(&user), rest: &rest }).await
    }
}

impl TestList {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let route = ["api", "servers", &self.server, "connectivity-tests"];
        let page = app.client.list(&route, &[], &self.page).await?;
        app.out.page(&page, view::list(page.items()));
        Ok(())
    }
}

/// Tests a registered server.
pub async fn run_test(app: &App<'_>, server: &str, body: &Body) -> Result<Answer> {
    app.client.post(&["api", "servers", server, "connectivity-tests"], body).await
}

/// # Errors
/// `Unproven` unless the test is HEALTHY.
pub fn verdict(test: &Value) -> Result<()> {
    match fields::word(test, "/status").as_str() {
        "HEALTHY" => Ok(()),
        status => Err(CliError::Unproven(format!("the server is {status} ({})", view::first_failure(test)))),
    }
}
