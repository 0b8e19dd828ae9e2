//! `keywright access list`

use clap::Args;

use crate::app::App;
use crate::args::{PageArgs, TenantArg};
use crate::error::Result;
use crate::output::view::access as view;

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    tenant: TenantArg,
    #[command(flatten)]
    page: PageArgs,
}

impl List {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let tenant = app.tenant(&self.tenant).await?;
        let page = app.client.list(&["api", "tenants", &tenant, "ssh-access"], &[], &self.page).await?;
        app.out.page(&page, view::list(page.items()));
        Ok(())
    }
}
