//! `keywright server credential-list`, `credential-show`, `credential-usage`

use clap::Args;

use super::ROUTE;
use crate::app::App;
use crate::args::{PageArgs, id};
use crate::error::Result;
use crate::output::view::credential as view;

#[derive(Args)]
pub struct List {
    /// Only this tenant's
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// Only where id, name or fingerprint contain this
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args)]
pub struct Show {
    /// `sshcred_…`
    #[arg(value_name = "CREDENTIAL_ID", value_parser = id)]
    credential: String,
    /// Also who uses it
    #[arg(long)]
    usage: bool,
}

#[derive(Args)]
pub struct Usage {
    /// `sshcred_…`
    #[arg(value_name = "CREDENTIAL_ID", value_parser = id)]
    credential: String,
}

impl List {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let filter = [("tenantId", self.tenant.as_deref()), ("search", self.search.as_deref())];
        let page = app.client.list(&ROUTE, &filter, &self.page).await?;
        app.out.page(&page, view::list(page.items()));
        Ok(())
    }
}

impl Show {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let query: &[(&str, &str)] = if self.usage { &[("includeUsage", "true")] } else { &[] };
        let answer = app.client.get_with(&["api", "credentials", "ssh", &self.credential], query).await?;
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}

impl Usage {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let answer = app.client.get(&["api", "credentials", "ssh", &self.credential, "usage"]).await?;
        app.out.answer(&answer, view::usage(&answer.value));
        Ok(())
    }
}
