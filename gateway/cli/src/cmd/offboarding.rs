//! `keywright tenant offboard`, `offboarding`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::args::{id, seconds};
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::fields;
use crate::files;
use crate::output::view::offboarding as view;

/// Between two looks at one that is watched.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
pub enum Command {
    /// End a tenant: revoke everywhere, keep an export, delete
    #[command(after_help = "Examples:
  keywright tenant offboard ten_… --confirm ten_…
  keywright tenant offboard ten_… --confirm ten_… --watch

Its people and programs are refused at once, every access ends on every host, Keywright's own keys leave its servers,
and then all that Keywright has of it is deleted. A host that does not answer is waited for.
Exit code 9 with --watch: it still waits for something when the time is up.")]
    Offboard(Offboard),
    /// Show the end of a tenant, or download what was kept
    Offboarding(Show),
}

#[derive(Args)]
pub struct Offboard {
    /// `ten_…`
    #[arg(value_name = "TENANT_ID", value_parser = id)]
    tenant: String,
    /// Type the exact tenant id to confirm; required without a terminal
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Follow it until the tenant is deleted
    #[arg(long)]
    watch: bool,
    /// How long to follow, as in 90s or 1h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds, requires = "watch")]
    wait_timeout: u64,
}

#[derive(Args)]
#[command(after_help = "Examples:
  keywright tenant offboarding ten_…
  keywright tenant offboarding ten_… export --out acme.json")]
pub struct Show {
    /// `ten_…`
    #[arg(value_name = "TENANT_ID", value_parser = id)]
    tenant: String,
    #[command(subcommand)]
    what: Option<Kept>,
}

#[derive(Subcommand)]
pub enum Kept {
    /// Download what was kept: metadata, receipts and audit events as JSON, no key material
    Export {
        /// The file to write; one that exists is left alone
        #[arg(long = "out", value_name = "FILE")]
        file: PathBuf,
    },
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Offboard(command) => offboard(command, app).await,
        Command::Offboarding(Show { tenant, what: Some(Kept::Export { file }) }) => {
            let answer = app.client.get(&["api", "tenants", &tenant, "offboard", "export"]).await?;
            files::create_new(&file, answer.text.as_bytes())?;
            app.out.news(&format!("What was kept of {tenant} is in {}.", file.display()));
            Ok(())
        }
        Command::Offboarding(Show { tenant, what: None }) => {
            let answer = read(app, &tenant).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
    }
}

async fn read(app: &App<'_>, tenant: &str) -> Result<Answer> {
    app.client.get(&["api", "tenants", tenant, "offboard"]).await
}

async fn offboard(command: Offboard, app: &App<'_>) -> Result<()> {
    app.need_confirm(command.confirm.as_ref(), &command.tenant)?;
    let confirmed = match command.confirm {
        Some(confirmed) => confirmed,
        None => {
            let found = app.client.get(&["api", "tenants", &command.tenant]).await?.value;
            let name = fields::text(&found, "/name");
            app.out.note(&format!(
                "Every key of the tenant {name} is revoked on every host, and the tenant is deleted; that cannot be undone."
            ));
            app.prompt.type_id(&command.tenant, "--confirm").await?
        }
    };
    let body = Body::new()
        .put("confirmation", json!({"tenantId": confirmed}))
        .text("reason", command.reason.as_deref());
    let mut answer = app.client.post(&["api", "tenants", &command.tenant, "offboard"], &body).await?;
    if command.watch {
        answer = watch(app, &command.tenant, command.wait_timeout).await?;
    }
    app.out.answer(&answer, view::one(&answer.value));
    if command.watch && !is_done(&answer.value) {
        let what = "the tenant is closed, but not deleted yet. See `keywright tenant offboarding` for what it waits for";
        return Err(CliError::Unproven(what.into()));
    }
    Ok(())
}

fn is_done(offboarding: &Value) -> bool {
    fields::text(offboarding, "/state") == "succeeded"
}

/// Says what it waits for whenever that changes.
async fn watch(app: &App<'_>, tenant: &str, wait_timeout: u64) -> Result<Answer> {
    app.interrupts.hint(&format!(
        "The offboarding goes on in Keywright. Look at it with: keywright tenant offboarding {tenant}"
    ));
    let deadline = Instant::now() + Duration::from_secs(wait_timeout);
    let mut told: Vec<String> = Vec::new();
    loop {
        let answer = read(app, tenant).await?;
        let waits = fields::texts(&answer.value, "/waitsFor");
        let waits: Vec<String> = waits.into_iter().map(str::to_owned).collect();
        if waits != told {
            waits.iter().for_each(|what| app.out.note(&format!("waits: {what}")));
            told = waits;
        }
        if is_done(&answer.value) || Instant::now() >= deadline {
            app.interrupts.hint("");
            return Ok(answer);
        }
        sleep(LOOK_EVERY).await;
    }
}
