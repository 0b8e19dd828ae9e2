//! `keywright tenant members`, `remove-member`, `invitations`, `withdraw-invitation`.

use clap::{Args, Subcommand};

use crate::app::App;
use crate::args::{ConfirmArg, PageArgs, id};
use crate::error::Result;
use crate::output::view::member as view;

#[derive(Subcommand)]
pub enum Command {
    /// List the people and programs of a tenant, newest first
    Members(List),
    /// Remove somebody from a tenant: everything that he holds there ends
    #[command(after_help = "Example:\n  keywright tenant remove-member ten_… prn_… --confirm prn_…")]
    RemoveMember(Remove),
    /// List the invitations into a tenant, without their codes
    Invitations(List),
    /// Withdraw an invitation that nobody redeemed
    WithdrawInvitation {
        /// `ten_…`
        #[arg(value_name = "TENANT_ID", value_parser = id)]
        tenant: String,
        /// `inv_…`
        #[arg(value_name = "INVITATION_ID", value_parser = id)]
        invitation: String,
    },
}

#[derive(Args)]
pub struct List {
    /// `ten_…`
    #[arg(value_name = "TENANT_ID", value_parser = id)]
    tenant: String,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args)]
pub struct Remove {
    /// `ten_…`
    #[arg(value_name = "TENANT_ID", value_parser = id)]
    tenant: String,
    /// `prn_…`
    #[arg(value_name = "PRINCIPAL_ID", value_parser = id)]
    principal: String,
    #[command(flatten)]
    confirm: ConfirmArg,
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Members(List { tenant, page }) => {
            let page = app.client.list(&["api", "tenants", &tenant, "members"], &[], &page).await?;
            app.out.page(&page, view::members(page.items()));
        }
        Command::RemoveMember(command) => remove(command, app).await?,
        Command::Invitations(List { tenant, page }) => {
            let page = app.client.list(&["api", "tenants", &tenant, "invitations"], &[], &page).await?;
            app.out.page(&page, view::invitations(page.items()));
        }
        Command::WithdrawInvitation { tenant, invitation } => {
            let path = ["api", "tenants", &tenant, "invitations", &invitation];
            let answer = app.client.delete(&path).await?;
            app.out.answer(&answer, Vec::new());
            app.out.news(&format!("The invitation {invitation} is withdrawn: its code does not work."));
        }
    }
    Ok(())
}

async fn remove(command: Remove, app: &App<'_>) -> Result<()> {
    let Remove { tenant, principal, confirm } = command;
    app.need_confirm(confirm.confirm.as_ref(), &principal)?;
    let warning = format!(
        "{principal} loses every token and session in {tenant}, and what was created with them. It cannot be undone: he must be invited anew."
    );
    app.agree(confirm.confirm, &principal, &warning, "Remove?").await?;
    let answer = app.client.delete(&["api", "tenants", &tenant, "members", &principal]).await?;
    app.out.answer(&answer, view::member(&answer.value));
    Ok(())
}
