//! `keywright access provision`

use clap::Args;

use super::client_key::ClientKey;
use crate::app::{App, hosts};
use crate::args::{IdempotencyArg, TenantArg, id};
use crate::client::Body;
use crate::cmd::rotation::{WaitArgs, verdict, wait};
use crate::error::Result;
use crate::fields;
use crate::output::view::access as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright access provision --tenant ten_… --server srv_…
  keywright access provision --tenant ten_… --server srv_a… --server srv_b… --account deploy --create-account

Each server needs a management key first: keywright server manage SERVER_ID")]
pub struct Provision {
    #[command(flatten)]
    tenant: TenantArg,
    /// A server of the tenant with a management key; may be repeated
    #[arg(long = "server", value_name = "ID", required = true, value_parser = id)]
    servers: Vec<String>,
    /// The account on the servers; default `tenant-` and 8 characters of the tenant's id
    #[arg(long)]
    account: Option<String>,
    /// Create the account where it does not exist
    #[arg(long)]
    create_account: bool,
    /// The kind of this key and of later ones; default as the policy says
    #[arg(long, value_name = "NAME", value_parser = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"])]
    key_algorithm: Option<String>,
    #[command(flatten)]
    client_key: ClientKey,
    #[command(flatten)]
    idempotency: IdempotencyArg,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Provision {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let tenant = app.tenant(&self.tenant).await?;
        let body = Body::new()
            .texts("serverIds", &self.servers)
            .text("account", self.account.as_deref())
            .flag("createAccount", self.create_account)
            .text("keyAlgorithm", self.key_algorithm.as_deref())
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        let body = self.client_key.join(app, &tenant, body).await?;
        let started = app.client.post(&["api", "tenants", &tenant, "ssh-access"], &body).await?;
        let access = fields::text(&started.value, "/id");
        let rotation = fields::text(&started.value, "/recentRotations/0/id");
        if self.wait.no_wait || rotation.is_empty() {
            app.out.answer(&started, view::one(&started.value));
            app.out.news(&format!("Follow the installation with: keywright rotation watch {rotation}"));
            return Ok(());
        }
        app.out.news(&format!("Provisioning {access}: the key is generated, installed and proven."));
        let ended = wait(app, rotation, hosts(&started.value), self.wait.wait_timeout).await?;
        let answer = app.client.get(&["api", "tenants", &tenant, "ssh-access", access]).await?;
        app.out.answer(&answer, view::one(&answer.value));
        verdict(&ended.value)?;
        if !self.client_key.is_given() {
            app.out.news(&format!(
                "The tenant's owner or admin downloads the key, once: keywright access download {access}"
            ));
        }
        Ok(())
    }
}
