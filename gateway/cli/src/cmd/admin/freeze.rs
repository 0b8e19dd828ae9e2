//! `keywright admin freeze`: the brake for everything that Keywright does by itself.

use clap::Args;

use crate::app::App;
use crate::args::id;
use crate::client::{Answer, Body};
use crate::error::Result;
use crate::output::view::campaign as view;

const PATH: [&str; 3] = ["api", "admin", "freeze"];

#[derive(Args)]
#[command(after_help = "Examples:
  keywright admin freeze
  keywright admin freeze --on --reason \"incident 4711\"
  keywright admin freeze --on --tenant ten_…
  keywright admin freeze --off

Schedules, campaigns and repair begin nothing while it is pulled. What runs goes on, grace ends that were promised
happen, and revocations and whatever people ask for still work.")]
pub struct Freeze {
    /// Pull the brake
    #[arg(long, group = "switch")]
    on: bool,
    /// Release it
    #[arg(long, group = "switch")]
    off: bool,
    /// Only this tenant's automation, `ten_…`
    #[arg(long, value_name = "ID", value_parser = id, requires = "switch")]
    tenant: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT", requires = "switch")]
    reason: Option<String>,
}

impl Freeze {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let answer = match self.on || self.off {
            false => app.client.get(&PATH).await?,
            true => self.set(app).await?,
        };
        app.out.answer(&answer, view::freezes(&answer.value));
        Ok(())
    }

    async fn set(&self, app: &App<'_>) -> Result<Answer> {
        let body = Body::new()
            .put("frozen", self.on)
            .text("tenantId", self.tenant.as_deref())
            .text("reason", self.reason.as_deref());
        app.client.post(&PATH, &body).await
    }
}
