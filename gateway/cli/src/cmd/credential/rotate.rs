//! `keywright server credential-rotate`: new material under the same id.
//!
//! Invariant: whatever happens, a success never reads as if the new key reached the servers.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use crate::args::{IdempotencyArg, id};
use crate::client::Body;
use crate::cmd::key::{KeyArgs, KeyMaterial};
use crate::cmd::server::test::run_test;
use crate::error::{CliError, Result};
use crate::fields;
use crate::files;
use crate::output::view::{connectivity, credential as view};

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server credential-rotate sshcred_… --private-key-file ~/.ssh/new --confirm sshcred_… --acknowledge-server-usage
  keywright server credential-rotate sshcred_…        (on a terminal: asks for what is missing)

The id and all references stay; later tests and deployments use the new key. The rotation touches no server and
proves nothing: put the new public key on the servers first, and test them afterwards.")]
pub struct Rotate {
    /// `sshcred_…`
    #[arg(value_name = "CREDENTIAL_ID", value_parser = id)]
    credential: String,
    #[command(flatten)]
    key: KeyArgs,
    /// A public key file that must belong to the new private key
    #[arg(long, value_name = "FILE")]
    public_key_file: Option<PathBuf>,
    /// A certificate of the new key (`…-cert.pub`), which logins present in place of it; without, that of the old key is
    /// dropped
    #[arg(long, value_name = "FILE")]
    certificate_file: Option<PathBuf>,
    /// Type the exact credential id to confirm; required without a terminal
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
    /// The active and inactive servers that use the credential will use the new key
    #[arg(long)]
    acknowledge_server_usage: bool,
    /// A new default user
    #[arg(long, conflicts_with = "clear_username")]
    username: Option<String>,
    /// Remove the default user
    #[arg(long)]
    clear_username: bool,
    /// Refuse if the usage is not the one with this revision any more
    #[arg(long, value_name = "REVISION")]
    expected_usage_revision: Option<String>,
    #[command(flatten)]
    idempotency: IdempotencyArg,
}

/// What the gate of the operation needs.
struct Gate {
    confirmed: String,
    acknowledged: bool,
    revision: Option<String>,
}

impl Rotate {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.as_ref(), &self.credential)?;
        let public_key = public_key(self.public_key_file.as_deref())?;
        let certificate = certificate(self.certificate_file.as_deref())?;
        let mut key = self.key.read(app).await?;
        let route = ["api", "credentials", "ssh", &self.credential];
        let given = Gate {
            confirmed: self.confirm.clone().unwrap_or_default(),
            acknowledged: self.acknowledge_server_usage,
            revision: self.expected_usage_revision.clone(),
        };
        let gate = if app.prompt.is_terminal() && (self.confirm.is_none() || !given.acknowledged) {
            ask(app, &self.credential, self.confirm, given).await?
        } else {
            given
        };
        let mut body = Body::new()
            .put("confirmation", confirmation(&gate))
            .text("publicKey", public_key.as_deref())
            .text("certificate", certificate.as_deref())
            .text("username", self.username.as_deref())
            .flag("clearUsername", self.clear_username)
            .text("expectedUsageRevision", gate.revision.as_deref());
        if let Some(key) = self.idempotency.idempotency_key {
            body = body.put("idempotencyKey", key);
        }
        rotate(app, &route, &mut key, &body).await
    }
}

fn confirmation(gate: &Gate) -> Value {
    match gate.acknowledged {
        true => json!({"credentialId": gate.confirmed, "acknowledgeServerUsage": true}),
        false => json!({"credentialId": gate.confirmed}),
    }
}

/// Shows who uses the credential and asks for what was not given. Usage that cannot be read is an error here too.
async fn ask(app: &App<'_>, id: &str, confirm: Option<String>, given: Gate) -> Result<Gate> {
    let usage = app.client.get(&["api", "credentials", "ssh", id, "usage"]).await?.value;
    let mut gate = given;
    if is_used(&usage) && !gate.acknowledged {
        app.out.aside(&view::usage(&usage));
        app.prompt
            .agree(
                "These will use the new key from now on. Do you acknowledge that?",
                "--acknowledge-server-usage",
            )
            .await?;
        gate.acknowledged = true;
    }
    if confirm.is_none() {
        gate.confirmed = app.prompt.type_id(id, "--confirm").await?;
    }
    // What was shown is what is agreed to.
    gate.revision = gate
        .revision
        .or_else(|| Some(fields::text(&usage, "/revision").to_owned()).filter(|r| !r.is_empty()));
    Ok(gate)
}

pub fn is_used(usage: &Value) -> bool {
    fields::number(usage, "/totalServers") + fields::number(usage, "/totalReferences") > 0
}

async fn rotate(app: &App<'_>, route: &[&str; 4], key: &mut KeyMaterial, body: &Body) -> Result<()> {
    let [api, area, kind, id] = *route;
    let answer = key.post(app, &[api, area, kind, id, "rotate"], body).await?;
    app.out.answer(&answer, view::one(&answer.value));
    app.out.note("The key is replaced in Keywright. This does not prove that the new key reaches the servers: test them.");
    let usage = match app.client.get(&[api, area, kind, id, "usage"]).await {
        Ok(usage) => usage.value,
        Err(error) => {
            app.out.note(&format!(
                "Which servers use it cannot be read now ({error}). Later: keywright server credential-usage {id}, then keywright server test SERVER_ID"
            ));
            return Ok(());
        }
    };
    test_servers(app, &usage).await
}

/// On a terminal offers to test the servers; elsewhere names the commands.
async fn test_servers(app: &App<'_>, usage: &Value) -> Result<()> {
    let servers: Vec<(&str, &str)> = fields::list(usage, "/servers")
        .iter()
        .filter(|server| fields::word(server, "/lifecycleStatus") == "ACTIVE")
        .map(|server| (fields::text(server, "/serverId"), fields::text(server, "/serverName")))
        .collect();
    if servers.is_empty() {
        app.out.note("No active server uses it. After binding one: keywright server test SERVER_ID");
        return Ok(());
    }
    let offer = format!("Test the servers that use it now ({})?", servers.len());
    if !app.prompt.is_terminal() || !app.prompt.yes(&offer, "").await? {
        for (id, name) in servers {
            app.out.note(&format!("  keywright server test {id}    # {name}"));
        }
        return Ok(());
    }
    let mut failed = Vec::new();
    for (id, name) in servers {
        let test = run_test(app, id, &Body::new()).await?.value;
        app.out.blocks(connectivity::one(&test));
        if fields::word(&test, "/status") != "HEALTHY" {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(CliError::Unproven(format!(
        "the key is replaced, but these servers are not healthy with it: {}",
        failed.join(", ")
    )))
}

/// The one line of a certificate file.
pub fn certificate(file: Option<&Path>) -> Result<Option<String>> {
    let text = file.map(|file| files::read_text(file, "certificate file")).transpose()?;
    match text.as_ref().map(|text| text.trim()) {
        // Empty text removes one; an empty file is a mistake.
        Some("") => Err(CliError::Usage("the certificate file is empty".to_owned())),
        text => Ok(text.map(str::to_owned)),
    }
}

/// The text of a public key file.
pub fn public_key(file: Option<&Path>) -> Result<Option<String>> {
    file.map(|file| Ok(files::read_text(file, "public key file")?.trim().to_owned())).transpose()
}
