//! `keywright token …`

use clap::{Args, Subcommand, ValueEnum};

use crate::app::App;
use crate::args::{PageArgs, duration, id};
use crate::client::Body;
use crate::error::Result;
use crate::output::view::identity as view;

#[derive(Subcommand)]
pub enum Command {
    /// Create a token; its secret is printed once
    #[command(after_help = "Examples:
  keywright token create --role operator --name laptop --expires-in 7d
  keywright token create --role internal-service --permission access.provision --name billing
  keywright token create --role internal-service --tenant ten_… --permission credential.sign --name deployer
  KEYWRIGHT_TOKEN=$(keywright token create --role auditor -o json | jq -r .token)")]
    Create(Create),
    /// List tokens without their secrets, newest first
    List(List),
    /// Revoke a token and those created with it; they stop to work at once
    Revoke {
        /// `tok_…`
        #[arg(value_name = "TOKEN_ID", value_parser = id)]
        token_id: String,
    },
}

#[derive(Args)]
pub struct Create {
    /// The role to grant
    #[arg(long, value_enum)]
    role: Role,
    /// The tenant it is bound to; required for tenant roles
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// For internal services: what it may do; may be repeated
    #[arg(long = "permission", value_name = "NAME")]
    permissions: Vec<String>,
    /// How long it works, as in 12h or 30d; default 30 days (internal services 24 hours), at most 90 days
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires_in: Option<String>,
    /// What it is for
    #[arg(long)]
    name: Option<String>,
    /// Bind it to a client certificate: its SHA-256 (openssl x509 -noout -fingerprint -sha256)
    #[arg(long, value_name = "SHA256")]
    client_certificate: Option<String>,
}

#[derive(Args)]
pub struct List {
    /// Only this tenant's
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Role {
    #[value(alias = "tenant_owner")]
    TenantOwner,
    #[value(alias = "tenant_admin")]
    TenantAdmin,
    #[value(alias = "tenant_member")]
    TenantMember,
    Operator,
    Auditor,
    #[value(alias = "internal_service")]
    InternalService,
}

impl Role {
    fn wire(self) -> &'static str {
        match self {
            Self::TenantOwner => "tenant_owner",
            Self::TenantAdmin => "tenant_admin",
            Self::TenantMember => "tenant_member",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::InternalService => "internal_service",
        }
    }
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Create(command) => {
            let body = Body::new()
                .put("role", command.role.wire())
                .text("tenantId", command.tenant.as_deref())
                .texts("permissions", &command.permissions)
                .text("expiresIn", command.expires_in.as_deref())
                .text("name", command.name.as_deref())
                .text("clientCertificate", command.client_certificate.as_deref());
            let answer = app.client.post(&["api", "tokens"], &body).await?;
            app.out.answer(&answer, view::created(&answer.value));
            app.out.news("The token is not shown again: keep it safe.");
        }
        Command::List(command) => {
            let filter = [("tenantId", command.tenant.as_deref())];
            let page = app.client.list(&["api", "tokens"], &filter, &command.page).await?;
            app.out.page(&page, view::tokens(page.items()));
        }
        Command::Revoke { token_id } => {
            let answer = app.client.delete(&["api", "tokens", &token_id]).await?;
            app.out.answer(&answer, view::token(&answer.value));
        }
    }
    Ok(())
}
