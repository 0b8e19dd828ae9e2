//! `keywright tenant …`

use clap::{Args, Subcommand, ValueEnum};

use crate::app::App;
use crate::args::{IdempotencyArg, PageArgs, id, label};
use crate::client::Body;
use crate::cmd::{member, offboarding, tenant_lifecycle};
use crate::error::Result;
use crate::fields;
use crate::output::view::tenant as view;

#[derive(Subcommand)]
pub enum Command {
    /// Create a tenant
    #[command(
        after_help = "Example:\n  keywright tenant create --name \"Acme Ltd\" --external-id acme-42 --time-zone Europe/Berlin"
    )]
    Create(Create),
    /// List tenants, newest first
    List(List),
    /// Show a tenant
    Show {
        /// `ten_…`
        #[arg(value_name = "TENANT_ID", value_parser = id)]
        tenant: String,
    },
    /// Invite a person into a tenant; prints a one-use code
    #[command(after_help = "Example:
  keywright tenant invite ten_… --role tenant-owner --email owner@example.com
The person redeems the code with:
  keywright login --invitation CODE --name \"Ada Lovelace\"")]
    Invite(Invite),
    #[command(flatten)]
    Members(member::Command),
    #[command(flatten)]
    Lifecycle(tenant_lifecycle::Command),
    #[command(flatten)]
    End(offboarding::Command),
}

#[derive(Args)]
pub struct Create {
    /// Its name; asked for on a terminal
    #[arg(long)]
    name: Option<String>,
    /// Your own id for it; unique
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// IANA time zone; default UTC
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Whom to write to; may be repeated
    #[arg(long = "contact", value_name = "EMAIL")]
    contacts: Vec<String>,
    /// A label, key=value; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    idempotency: IdempotencyArg,
}

#[derive(Args)]
pub struct List {
    /// Only where id, external id or name contain this
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args)]
pub struct Invite {
    /// `ten_…`
    #[arg(value_name = "TENANT_ID", value_parser = id)]
    tenant: String,
    /// The role in the tenant; asked for on a terminal
    #[arg(long, value_enum)]
    role: Option<TenantRole>,
    /// Where the person is reached; kept with the invitation, nothing is sent there
    #[arg(long)]
    email: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum TenantRole {
    /// Manages the tenant and its members, and downloads its keys
    #[value(name = "tenant-owner", alias = "tenant_owner", alias = "owner")]
    Owner,
    /// Manages the tenant and downloads its keys
    #[value(name = "tenant-admin", alias = "tenant_admin", alias = "admin")]
    Admin,
    /// Reads masked data
    #[value(name = "tenant-member", alias = "tenant_member", alias = "member")]
    Member,
}

impl TenantRole {
    const ALL: [Self; 3] = [Self::Owner, Self::Admin, Self::Member];

    fn wire(self) -> &'static str {
        match self {
            Self::Owner => "tenant_owner",
            Self::Admin => "tenant_admin",
            Self::Member => "tenant_member",
        }
    }
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Create(command) => create(command, app).await,
        Command::List(command) => {
            let filter = [("search", command.search.as_deref())];
            let page = app.client.list(&["api", "tenants"], &filter, &command.page).await?;
            app.out.page(&page, view::list(page.items()));
            Ok(())
        }
        Command::Show { tenant } => {
            let answer = app.client.get(&["api", "tenants", &tenant]).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
        Command::Invite(command) => invite(command, app).await,
        Command::Members(command) => member::run(command, app).await,
        Command::Lifecycle(command) => tenant_lifecycle::run(command, app).await,
        Command::End(command) => offboarding::run(command, app).await,
    }
}

async fn create(command: Create, app: &App<'_>) -> Result<()> {
    let name = app.prompt.text(command.name, "Name of the tenant", "--name").await?;
    let body = Body::new()
        .put("name", name)
        .text("externalId", command.external_id.as_deref())
        .text("timeZone", command.time_zone.as_deref())
        .texts("contacts", &command.contacts)
        .put("labels", tenant_lifecycle::object(command.labels))
        .text("idempotencyKey", command.idempotency.idempotency_key.as_deref());
    let answer = app.client.post(&["api", "tenants"], &body).await?;
    app.out.answer(&answer, view::one(&answer.value));
    let id = fields::text(&answer.value, "/id");
    app.out
        .news(&format!("Invite its owner: keywright tenant invite {id} --role tenant-owner --email ADDRESS"));
    Ok(())
}

async fn invite(command: Invite, app: &App<'_>) -> Result<()> {
    let role = match command.role {
        Some(role) => role,
        None => {
            let names = TenantRole::ALL.iter().map(|role| role.wire().to_uppercase()).collect();
            let chosen = app.prompt.choose("Role", names, "--role").await?;
            TenantRole::ALL.get(chosen).copied().unwrap_or(TenantRole::Member)
        }
    };
    let email = app.prompt.text(command.email, "E-mail address", "--email").await?;
    let body = Body::new().put("role", role.wire()).put("email", email);
    let answer = app.client.post(&["api", "tenants", &command.tenant, "invitations"], &body).await?;
    app.out.answer(&answer, view::invitation(&answer.value));
    app.out.news(
        "The code works once and is not shown again. Its owner redeems it with: keywright login --invitation CODE --name NAME",
    );
    Ok(())
}
