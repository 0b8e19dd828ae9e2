//! `keywright access revoke`

use clap::Args;

use super::AccessRef;
use crate::app::App;
use crate::args::{ConfirmArg, seconds};
use crate::client::Body;
use crate::cmd::revocation::settle;
use crate::error::Result;

const NOTICE: &str = "Every key of this access ends at once, the one in its grace period too: there is no grace \
    after a revocation. Download and signing stop immediately; each host follows as soon as it can be reached, and \
    is then proven to refuse the keys.";

#[derive(Args)]
#[command(after_help = "Examples:
  keywright access revoke acc_… --confirm acc_…
  keywright access revoke acc_… --confirm acc_… --compromised --reason \"key was in a public repository\"

Exit code 0: every host is proven to refuse the keys. 9: the revocation is in force, but a host is not proven yet.
A new key afterwards: keywright access regenerate acc_…")]
pub struct Revoke {
    #[command(flatten)]
    access: AccessRef,
    /// Somebody else knows the key: it can never be installed again, and all sessions of the account end
    #[arg(long)]
    compromised: bool,
    /// End all sessions of the account, not only those of the revoked keys
    #[arg(long, conflicts_with = "keep_sessions")]
    end_all_sessions: bool,
    /// Leave open sessions alone
    #[arg(long)]
    keep_sessions: bool,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    confirm: ConfirmArg,
    /// Do not wait for the hosts
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the hosts, as in 30s; the revocation goes on afterwards
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds, conflicts_with = "no_wait")]
    wait_timeout: u64,
}

impl Revoke {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.confirm.as_ref(), self.access.named())?;
        let path = self.access.resolve(app).await?;
        let question = format!("Revoke {} now?", path.id);
        let confirmed = app.agree(self.confirm.confirm, &path.id, NOTICE, &question).await?;

        let body = Body::new()
            .put("confirmation", serde_json::json!({"accessId": confirmed}))
            .flag("compromised", self.compromised)
            .flag("endAllSessions", self.end_all_sessions)
            .flag("keepSessions", self.keep_sessions)
            .text("reason", self.reason.as_deref());
        let started = app.client.post(&path.route(&["revoke"]), &body).await?;
        settle(app, &started, self.no_wait, self.wait_timeout).await?;
        if !self.no_wait {
            app.out.news(&format!("For a new key: keywright access regenerate {}", path.id));
        }
        Ok(())
    }
}
