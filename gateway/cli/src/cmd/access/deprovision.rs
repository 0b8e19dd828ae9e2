//! `keywright access deprovision`

use clap::Args;

use super::AccessRef;
use crate::app::App;
use crate::args::{ConfirmArg, seconds};
use crate::client::Body;
use crate::cmd::revocation::settle;
use crate::error::Result;

const NOTICE: &str = "The access is given up for good: every key of it ends at once, without a grace, and no key is \
    made for it again. When every host has been proven to refuse the keys, Keywright lets go of its servers and its \
    account. What happened stays to be read.";

#[derive(Args)]
#[command(after_help = "Examples:
  keywright access deprovision acc_…
  keywright access deprovision acc_… --confirm acc_… --reason \"contract ended\"

To end the keys but keep the access: keywright access revoke. The account itself, its home and its files stay on the
hosts.

Exit code 0: every host is proven to refuse the keys. 9: in force, but a host is not proven yet.")]
pub struct Deprovision {
    #[command(flatten)]
    access: AccessRef,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    confirm: ConfirmArg,
    /// Do not wait for the hosts
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the hosts, as in 30s; the work goes on afterwards
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds, conflicts_with = "no_wait")]
    wait_timeout: u64,
}

impl Deprovision {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.confirm.as_ref(), self.access.named())?;
        let path = self.access.resolve(app).await?;
        let question = format!("Give up {} for good?", path.id);
        let confirmed = app.agree(self.confirm.confirm, &path.id, NOTICE, &question).await?;

        let body = Body::new()
            .put("confirmation", serde_json::json!({"accessId": confirmed}))
            .text("reason", self.reason.as_deref());
        let started = app.client.delete_with(&path.route(&[]), &body).await?;
        settle(app, &started, self.no_wait, self.wait_timeout).await
    }
}
