//! `keywright access remove-host`

use clap::Args;

use super::AccessRef;
use crate::app::{App, hosts};
use crate::args::{ConfirmArg, IdempotencyArg, id};
use crate::client::Body;
use crate::cmd::rotation::{WaitArgs, verdict, wait};
use crate::error::Result;
use crate::fields;
use crate::output::view::rotation as view;

const NOTICE: &str = "Every key of this access is taken off the host, and the host is then proven to refuse them. \
    Nobody who has a key gets in there any more; the other hosts keep it.";

#[derive(Args)]
#[command(after_help = "Examples:
  keywright access remove-host acc_… --server srv_…
  keywright access remove-host acc_… --server srv_… --confirm acc_… --no-wait

Works on a deactivated server too. A host that is down takes no part in the access any more and holds up no rotation;
the removal goes on until the host has been proven to refuse the keys. The last host is not removed: deprovision the
access instead (keywright access deprovision).

Exit code 0: the host is proven to refuse the keys. 9: not proven yet when the time was up.")]
pub struct RemoveHost {
    #[command(flatten)]
    access: AccessRef,
    /// The host, `srv_…`
    #[arg(long, value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    confirm: ConfirmArg,
    #[command(flatten)]
    idempotency: IdempotencyArg,
    #[command(flatten)]
    wait: WaitArgs,
}

impl RemoveHost {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.confirm.as_ref(), self.access.named())?;
        let path = self.access.resolve(app).await?;
        let access = app.client.get(&path.route(&[])).await?;
        let question = format!("Take {} off {}?", path.id, self.server);
        let confirmed = app.agree(self.confirm.confirm, &path.id, NOTICE, &question).await?;

        let body = Body::new()
            .put("confirmation", serde_json::json!({"accessId": confirmed}))
            .text("reason", self.reason.as_deref())
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        let started = app.client.delete_with(&path.route(&["hosts", &self.server]), &body).await?;
        let rotation = fields::text(&started.value, "/id");
        if self.wait.no_wait {
            app.out.answer(&started, view::one(&started.value));
            app.out.news(&format!("Follow it with: keywright rotation watch {rotation}"));
            return Ok(());
        }
        let ended = wait(app, rotation, hosts(&access.value), self.wait.wait_timeout).await?;
        app.out.answer(&ended, view::one(&ended.value));
        verdict(&ended.value)
    }
}
