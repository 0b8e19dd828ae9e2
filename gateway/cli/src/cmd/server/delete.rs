//! `keywright server delete`

use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::args::id;
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::view::server as view;

#[derive(Args)]
#[command(after_help = "Example:\n  keywright server delete srv_… --confirm srv_…")]
pub struct Delete {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// Type the exact server id to confirm; required without a terminal
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
}

impl Delete {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.as_ref(), &self.server)?;
        let confirmed = match self.confirm {
            Some(confirmed) => confirmed,
            None => ask(app, &self.server).await?,
        };
        let body = Body::new().put("confirmation", json!({"serverId": confirmed}));
        let answer = app.client.delete_with(&["api", "servers", &self.server], &body).await?;
        app.out.answer(&answer, Vec::new());
        app.out.news(&format!("{} is deleted.", self.server));
        Ok(())
    }
}

/// Shows what stands in the way; only a deletable server is worth typing for.
async fn ask(app: &App<'_>, id: &str) -> Result<String> {
    let check = app.client.get(&["api", "servers", id, "delete-check"]).await?.value;
    if !fields::flag(&check, "/deletable") {
        app.out.aside(&view::delete_check(&check));
        return Err(CliError::Refused(format!("{id} is in use: see above what to remove first")));
    }
    app.prompt.type_id(id, "--confirm").await
}
