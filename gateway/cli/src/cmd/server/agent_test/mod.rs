//! `keywright server test --agent`: the key stays in the user's SSH agent, which signs the login that Keywright tests.

mod holder;
mod question;

use std::time::Duration;

use clap::Args;
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::app::App;
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::fields;
use holder::Holder;
use question::{Login, Question, request_id};

/// As long as Keywright waits for a signature.
const WAIT: Duration = Duration::from_secs(45);

#[derive(Args)]
pub struct AgentArgs {
    /// Log in with a key of your SSH agent (SSH_AUTH_SOCK); it stays there and signs this one login
    #[arg(long, conflicts_with_all = ["private_key_file", "credential", "all"])]
    agent: bool,
    /// With --agent: which key, by its .pub file, fingerprint or comment; default the agent's only one
    #[arg(long, value_name = "FILE|SHA256:…|COMMENT", requires = "agent")]
    identity: Option<String>,
}

/// What is tested.
pub enum Place {
    Server { id: String, expected: Vec<String> },
    Draft { host: String, port: Option<u16>, jump_host: Option<String>, expected: Vec<String> },
}

impl AgentArgs {
    pub const fn is_given(&self) -> bool {
        self.agent
    }

    /// Runs the test; the answer is the finished one.
    pub async fn run(self, app: &App<'_>, place: Place, username: Option<String>) -> Result<Answer> {
        let holder = Holder::of_environment()?;
        let key = holder.key(self.identity.as_deref()).await?;
        let username = app.prompt.text(username, "User to log in as", "--username").await?;
        let named = Body::new().put("key", json!({"publicKey": key.openssh(), "username": username}));
        let (path, body, host_keys) = place.asked(app, named).await?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let login = Login { key, username, host_keys };
        let mut events = app.client.events(&path, &body).await?;
        let mut asked = false;
        loop {
            let event = events.next().await?;
            if let Some(test) = event.pointer("/test") {
                return Ok(Answer::of(test.clone()));
            }
            let wanted = event.pointer("/signatureWanted");
            let wanted = wanted.ok_or_else(|| CliError::Protocol("an unknown event of a test".into()))?;
            if std::mem::replace(&mut asked, true) {
                return Err(CliError::Refused(
                    "Keywright asked for a second signature; it was refused".into(),
                ));
            }
            answer(app, &holder, wanted, &login).await?;
        }
    }
}

impl Place {
    /// Where to ask, what, and which host keys are expected.
    async fn asked(self, app: &App<'_>, body: Body) -> Result<(Vec<String>, Body, Vec<String>)> {
        match self {
            Self::Server { id, expected } => {
                let expected = if expected.is_empty() { pinned(app, &id).await? } else { expected };
                let path = ["api", "servers", &id, "connectivity-tests", "run"].map(str::to_owned);
                Ok((path.into(), body, expected))
            }
            Self::Draft { host, port, jump_host, expected } => {
                let mut body = body
                    .put("host", host)
                    .texts("expectedHostKeys", &expected)
                    .text("jumpHostId", jump_host.as_deref());
                if let Some(port) = port {
                    body = body.put("port", port);
                }
                let path = ["api", "servers", "connectivity-tests", "run"].map(str::to_owned);
                Ok((path.into(), body, expected))
            }
        }
    }
}

/// The fingerprints of a server's own pinned keys.
async fn pinned(app: &App<'_>, server: &str) -> Result<Vec<String>> {
    let answer = app.client.get(&["api", "servers", server, "host-keys"]).await?;
    let own = fields::list(&answer.value, "/items")
        .iter()
        .filter(|key| !fields::flag(key, "/certificateAuthority"))
        .map(|key| fields::text(key, "/fingerprint").to_owned());
    Ok(own.collect())
}

/// Has the agent sign what is wanted, or says that there will be no signature.
async fn answer(app: &App<'_>, holder: &Holder, wanted: &Value, login: &Login) -> Result<()> {
    let path = ["api", "signature-requests", request_id(wanted)];
    let question = match Question::read(wanted, login) {
        Ok(question) => question,
        Err(error) => return refuse(app, &path, "unexpected", error).await,
    };
    app.out.news("your SSH agent is asked to sign the login; touch or confirm if it asks");
    match holder.sign(question.bind(), &question.login, WAIT).await {
        Ok(Some(signature)) => {
            let body = Body::new().put("signature", BASE64.encode(&signature));
            app.client.post(&path, &body).await.map(drop)
        }
        Ok(None) => {
            let what = "your SSH agent did not sign: it was told no, is locked, or the key may not be used for this host or user (ssh-add -h)";
            refuse(app, &path, "declined", CliError::Refused(what.into())).await
        }
        Err(error) => refuse(app, &path, "declined", error).await,
    }
}

/// Ends the test at once; what is said is why, whether or not Keywright hears it.
async fn refuse(app: &App<'_>, path: &[&str], refusal: &str, why: CliError) -> Result<()> {
    let _ = app.client.post(path, &Body::new().put("refusal", refusal)).await;
    Err(why)
}
