//! `keywright access add-host`

use clap::Args;

use super::AccessRef;
use crate::app::{App, hosts};
use crate::args::{IdempotencyArg, id};
use crate::client::Body;
use crate::cmd::rotation::{WaitArgs, verdict, wait};
use crate::error::Result;
use crate::fields;
use crate::output::view::rotation as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright access add-host acc_… --server srv_…
  keywright access add-host acc_… --server srv_… --create-account --no-wait -o json

The keys in use are installed on the host and proven there; no key changes. If a step fails, the host is left as it was
and the access keeps the hosts it has.

Exit code 0: the keys work on the host. 9: still at it when the time was up. 10: it failed.")]
pub struct AddHost {
    #[command(flatten)]
    access: AccessRef,
    /// The tenant's server, `srv_…`
    #[arg(long, value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// Create the account where it does not exist
    #[arg(long)]
    create_account: bool,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    idempotency: IdempotencyArg,
    #[command(flatten)]
    wait: WaitArgs,
}

impl AddHost {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let path = self.access.resolve(app).await?;
        let body = Body::new()
            .text("serverId", Some(&self.server))
            .flag("createAccount", self.create_account)
            .text("reason", self.reason.as_deref())
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        let started = app.client.post(&path.route(&["hosts"]), &body).await?;
        let rotation = fields::text(&started.value, "/id");
        if self.wait.no_wait {
            app.out.answer(&started, view::one(&started.value));
            app.out.news(&format!("Follow it with: keywright rotation watch {rotation}"));
            return Ok(());
        }
        let access = app.client.get(&path.route(&[])).await?;
        let ended = wait(app, rotation, hosts(&access.value), self.wait.wait_timeout).await?;
        app.out.answer(&ended, view::one(&ended.value));
        verdict(&ended.value)
    }
}
