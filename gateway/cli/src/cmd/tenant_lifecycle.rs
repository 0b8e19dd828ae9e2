//! `keywright tenant update | suspend | resume | delete`

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::args::{id, label};
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::view::tenant as view;

#[derive(Subcommand)]
pub enum Command {
    /// Change a tenant's name, external id, time zone, contacts or labels; what is not given stays
    #[command(after_help = "Examples:
  keywright tenant update ten_… --name \"Acme Ltd\" --contact ops@acme.example --label plan=gold
  keywright tenant update ten_… --external-id \"\" --clear-contacts")]
    Update(Update),
    /// Suspend a tenant: its people and programs are refused, and nothing new is done for it
    #[command(
        after_help = "Its keys stay on its servers; what ends (a revocation, a grace period) goes on to end."
    )]
    Suspend(ChangeState),
    /// End a suspension
    Resume(ChangeState),
    /// Delete a tenant that has no servers, saved credentials and accesses left
    #[command(after_help = "Example:\n  keywright tenant delete ten_… --confirm ten_…

Its tokens and invitations end with it. Its id never comes back.")]
    Delete(Delete),
}

#[derive(Args)]
pub struct Update {
    /// `ten_…`
    #[arg(value_name = "TENANT_ID", value_parser = id)]
    tenant: String,
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    /// Your own id for it; empty text removes it
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// IANA time zone
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Whom to write to, instead of those there are; may be repeated
    #[arg(long = "contact", value_name = "EMAIL", conflicts_with = "clear_contacts")]
    contacts: Vec<String>,
    /// Remove all contacts
    #[arg(long)]
    clear_contacts: bool,
    /// A label, key=value, instead of those there are; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label, conflicts_with = "clear_labels")]
    labels: Vec<(String, String)>,
    /// Remove all labels
    #[arg(long)]
    clear_labels: bool,
    /// Only if it is still at this revision (see `tenant show`)
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<String>,
}

#[derive(Args)]
pub struct ChangeState {
    /// `ten_…`
    #[arg(value_name = "TENANT_ID", value_parser = id)]
    tenant: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Args)]
pub struct Delete {
    /// `ten_…`
    #[arg(value_name = "TENANT_ID", value_parser = id)]
    tenant: String,
    /// Type the exact tenant id to confirm; required without a terminal
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Update(command) => update(command, app).await,
        Command::Suspend(command) => change(command, "suspend", app).await,
        Command::Resume(command) => change(command, "resume", app).await,
        Command::Delete(command) => delete(command, app).await,
    }
}

/// Labels as a body carries them.
pub fn object(labels: Vec<(String, String)>) -> Map<String, Value> {
    labels.into_iter().map(|(key, value)| (key, value.into())).collect()
}

async fn update(command: Update, app: &App<'_>) -> Result<()> {
    let mut body = Body::new()
        .text("name", command.name.as_deref())
        .text("externalId", command.external_id.as_deref())
        .text("timeZone", command.time_zone.as_deref())
        .texts("contacts", &command.contacts)
        .flag("clearContacts", command.clear_contacts)
        .flag("clearLabels", command.clear_labels)
        .text("expectedRevision", command.expected_revision.as_deref());
    if !command.labels.is_empty() {
        body = body.put("labels", object(command.labels));
    }
    let answer = app.client.patch(&["api", "tenants", &command.tenant], &body).await?;
    app.out.answer(&answer, view::one(&answer.value));
    Ok(())
}

async fn change(command: ChangeState, how: &str, app: &App<'_>) -> Result<()> {
    let body = Body::new().text("comment", command.comment.as_deref());
    let answer = app.client.post(&["api", "tenants", &command.tenant, how], &body).await?;
    app.out.answer(&answer, view::one(&answer.value));
    Ok(())
}

async fn delete(command: Delete, app: &App<'_>) -> Result<()> {
    app.need_confirm(command.confirm.as_ref(), &command.tenant)?;
    let confirmed = match command.confirm {
        Some(confirmed) => confirmed,
        None => ask(app, &command.tenant).await?,
    };
    let body = Body::new().put("confirmation", json!({"tenantId": confirmed}));
    let answer = app.client.delete_with(&["api", "tenants", &command.tenant], &body).await?;
    app.out.answer(&answer, Vec::new());
    app.out.news(&format!("{} is deleted.", command.tenant));
    Ok(())
}

/// Shows whom it is about; a tenant with servers is not worth typing for.
async fn ask(app: &App<'_>, tenant: &str) -> Result<String> {
    let found = app.client.get(&["api", "tenants", tenant]).await?.value;
    let servers =
        app.client.get_with(&["api", "servers"], &[("tenantId", tenant), ("pageSize", "1")]).await?;
    if !fields::list(&servers.value, "/items").is_empty() {
        return Err(CliError::Refused(format!("{tenant} still has servers: delete them first")));
    }
    let name = fields::text(&found, "/name");
    app.out.note(&format!(
        "The tenant {name} will be deleted, with its tokens and invitations; that cannot be undone."
    ));
    app.prompt.type_id(tenant, "--confirm").await
}
