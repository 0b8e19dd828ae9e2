//! `keywright server list`, `rename`, `deactivate`

use clap::Args;

use crate::app::App;
use crate::args::{PageArgs, id};
use crate::client::Body;
use crate::error::Result;
use crate::output::view::server as view;

#[derive(Args)]
pub struct List {
    /// Only this tenant's
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// Only where id, name or host contain this
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args)]
pub struct Rename {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// The new name; asked for on a terminal
    #[arg(long)]
    name: Option<String>,
}

#[derive(Args)]
pub struct Deactivate {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
}

impl List {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let filter = [("tenantId", self.tenant.as_deref()), ("search", self.search.as_deref())];
        let page = app.client.list(&["api", "servers"], &filter, &self.page).await?;
        app.out.page(&page, view::list(page.items()));
        Ok(())
    }
}

impl Rename {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let name = app.prompt.text(self.name, "New name", "--name").await?;
        let route = ["api", "servers", &self.server, "rename"];
        let answer = app.client.post(&route, &Body::new().put("name", name)).await?;
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}

impl Deactivate {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let answer = app.client.post(&["api", "servers", &self.server, "deactivate"], &Body::new()).await?;
        app.out.answer(&answer, view::one(&answer.value));
        app.out
            .news("It takes no new work from now on. Revocations, grace ends and removals still reach it.");
        Ok(())
    }
}
