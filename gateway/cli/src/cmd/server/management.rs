//! `keywright server management`, `rotate-management`, `release`

use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::args::id;
use crate::client::Body;
use crate::error::Result;
use crate::output::view::management as view;

#[derive(Args)]
#[command(after_help = "Example:\n  keywright server management srv_…

A key that was replaced stays on the server until a backup (keywright-server backup) holds its successor, or for seven
days: a restored backup must still find a way in.")]
pub struct Show {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
}

#[derive(Args)]
#[command(after_help = "Example:\n  keywright server rotate-management srv_… --confirm srv_…

Installs a new key through the present one and proves it by a login before it counts. If anything fails before, the
present key stays in use and nothing else is left behind.")]
pub struct Rotate {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// The server's exact id, to confirm without being asked
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server release srv_… --confirm srv_…
  keywright server release srv_… --confirm srv_… --leave-management-key

Tenants' keys keep working on the server, and nobody ends them from here any more. Keywright's own key is removed in a
session of the saved credential that is bound to the server, which must log in as root or with sudo; where none does,
bind one, or leave Keywright's line there: its private half is destroyed all the same. Revoke first what must not stay.")]
pub struct Release {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// The server's exact id, to confirm without being asked
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
    /// Leave Keywright's line on the server; its private half is destroyed
    #[arg(long)]
    leave_management_key: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Show {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let answer = app.client.get(&["api", "servers", &self.server, "management"]).await?;
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}

impl Rotate {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.as_ref(), &self.server)?;
        let warning = "Keywright's own key on the server is replaced; the former one leaves later.";
        let confirmed = app.agree(self.confirm, &self.server, warning, "Replace it?").await?;
        let body = Body::new()
            .put("confirmation", json!({"serverId": confirmed}))
            .text("reason", self.reason.as_deref());
        let route = ["api", "servers", &self.server, "management", "rotate"];
        let answer = app.client.post(&route, &body).await?;
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}

impl Release {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.as_ref(), &self.server)?;
        let warning = "The server leaves Keywright. Tenants' keys stay on it and keep working; nobody can rotate or \
                       revoke them there any more.";
        let confirmed = app.agree(self.confirm, &self.server, warning, "Release it?").await?;
        let body = Body::new()
            .put("confirmation", json!({"serverId": confirmed}))
            .flag("leaveManagementKey", self.leave_management_key)
            .text("reason", self.reason.as_deref());
        let answer = app.client.post(&["api", "servers", &self.server, "release"], &body).await?;
        app.out.answer(&answer, view::release(&answer.value));
        Ok(())
    }
}
