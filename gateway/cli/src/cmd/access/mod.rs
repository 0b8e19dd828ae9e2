//! `keywright access …`: tenants' SSH access.

mod add_host;
mod client_key;
mod deprovision;
mod download;
mod key_use;
mod list;
mod provision;
mod regenerate;
mod remove_host;
mod revoke;
mod rotate;
mod show;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::args::{PageArgs, TenantArg, id};
use crate::error::Result;
use crate::fields;

#[derive(Subcommand)]
pub enum Command {
    /// Make an access: generate a key and install it on servers
    Provision(provision::Provision),
    /// List a tenant's accesses, newest first
    List(list::List),
    /// Show an access: how to connect, status, hosts, last rotations
    Show(show::Show),
    /// Download the private key, once
    Download(download::Download),
    /// Replace the key; the old one stays valid for a grace period
    Rotate(rotate::Rotate),
    /// End every key of the access at once
    Revoke(revoke::Revoke),
    /// When and from where was each key last used? Read from the hosts' logs
    KeyUse(key_use::KeyUse),
    /// Make a new key after a revocation
    Regenerate(regenerate::Regenerate),
    /// Put the keys in use on a further host
    AddHost(add_host::AddHost),
    /// Take every key off one host
    RemoveHost(remove_host::RemoveHost),
    /// Give the access up for good
    Deprovision(deprovision::Deprovision),
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Provision(command) => command.run(app).await,
        Command::List(command) => command.run(app).await,
        Command::Show(command) => command.run(app).await,
        Command::Download(command) => command.run(app).await,
        Command::Rotate(command) => command.run(app).await,
        Command::Revoke(command) => command.run(app).await,
        Command::KeyUse(command) => command.run(app).await,
        Command::Regenerate(command) => command.run(app).await,
        Command::AddHost(command) => command.run(app).await,
        Command::RemoveHost(command) => command.run(app).await,
        Command::Deprovision(command) => command.run(app).await,
    }
}

/// Which access.
#[derive(Args)]
pub struct AccessRef {
    /// `acc_…`; on a terminal chosen from a list
    #[arg(value_name = "ACCESS_ID", value_parser = id)]
    access: Option<String>,
    #[command(flatten)]
    tenant: TenantArg,
}

/// An access's place in the contract.
pub struct AccessPath {
    pub tenant: String,
    pub id: String,
}

impl AccessRef {
    /// The id for the message about a missing confirmation.
    pub fn named(&self) -> &str {
        self.access.as_deref().unwrap_or("ACCESS_ID")
    }

    pub async fn resolve(self, app: &App<'_>) -> Result<AccessPath> {
        if self.access.is_none() && !app.prompt.is_terminal() {
            app.prompt.text(None, "Access", "ACCESS_ID").await?;
        }
        let tenant = app.tenant(&self.tenant).await?;
        let id = match self.access {
            Some(id) => id,
            None => choose(app, &tenant).await?,
        };
        Ok(AccessPath { tenant, id })
    }
}

impl AccessPath {
    /// The route of the access, and of what follows it.
    pub fn route<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut route = vec!["api", "tenants", &self.tenant, "ssh-access", &self.id];
        route.extend(rest);
        route
    }
}

async fn choose(app: &App<'_>, tenant: &str) -> Result<String> {
    let all = PageArgs { limit: 100, all: true, page_token: None };
    let page = app.client.list(&["api", "tenants", tenant, "ssh-access"], &[], &all).await?;
    let lines = page
        .items()
        .iter()
        .map(|item| {
            let text = |name| fields::text(item, name);
            format!("{}  {}  {}", text("/id"), text("/account"), fields::word(item, "/status"))
        })
        .collect::<Vec<_>>();
    if lines.is_empty() {
        return Err(crate::error::CliError::Usage(format!("tenant {tenant} has no SSH access yet")));
    }
    let chosen = app.prompt.choose("Which access?", lines, "ACCESS_ID").await?;
    Ok(page.items().get(chosen).map(|item| fields::text(item, "/id").to_owned()).unwrap_or_default())
}
