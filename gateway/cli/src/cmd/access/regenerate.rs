//! `keywright access regenerate`

use clap::Args;

use super::AccessRef;
use super::client_key::ClientKey;
use crate::app::{App, hosts};
use crate::args::{ConfirmArg, IdempotencyArg};
use crate::client::Body;
use crate::cmd::rotation::{WaitArgs, verdict, wait};
use crate::error::Result;
use crate::fields;
use crate::output::view::rotation as view;

const NOTICE: &str =
    "A new key is generated, installed and proven on the hosts. The revoked keys stay revoked.";

#[derive(Args)]
#[command(after_help = "Example:\n  keywright access regenerate acc_… --confirm acc_…
Then download the new key: keywright access download acc_…")]
pub struct Regenerate {
    #[command(flatten)]
    access: AccessRef,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    client_key: ClientKey,
    #[command(flatten)]
    confirm: ConfirmArg,
    #[command(flatten)]
    idempotency: IdempotencyArg,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Regenerate {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.confirm.as_ref(), self.access.named())?;
        let path = self.access.resolve(app).await?;
        let access = app.client.get(&path.route(&[])).await?;
        let question =
            format!("Generate a new key for {} ({})?", fields::text(&access.value, "/account"), path.id);
        let confirmed = app.agree(self.confirm.confirm, &path.id, NOTICE, &question).await?;

        let body = Body::new()
            .put("confirmation", serde_json::json!({"accessId": confirmed}))
            .text("reason", self.reason.as_deref())
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        let body = self.client_key.join(app, &path.tenant, body).await?;
        let started = app.client.post(&path.route(&["regenerate"]), &body).await?;
        let rotation = fields::text(&started.value, "/id");
        if self.wait.no_wait {
            app.out.answer(&started, view::one(&started.value));
            app.out.news(&format!("Follow it with: keywright rotation watch {rotation}"));
            return Ok(());
        }
        let ended = wait(app, rotation, hosts(&access.value), self.wait.wait_timeout).await?;
        app.out.answer(&ended, view::one(&ended.value));
        verdict(&ended.value)?;
        if !self.client_key.is_given() {
            app.out.news(&format!("Download the new key: keywright access download {}", path.id));
        }
        Ok(())
    }
}
