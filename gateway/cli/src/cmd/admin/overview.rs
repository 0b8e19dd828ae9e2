//! `keywright admin tenants`, `tenant` and `exposures`: what an operator looks at first.

use clap::{Args, ValueEnum};

use crate::app::App;
use crate::args::{PageArgs, id};
use crate::error::Result;
use crate::output::view::overview as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright admin tenants --due overdue --all
  keywright admin tenants --search acme")]
pub struct Tenants {
    /// Only where id, external id or name contain this
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only tenants whose worst access has this status
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only tenants whose most urgent access is due so
    #[arg(long, value_enum)]
    due: Option<Urgency>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Status {
    /// Every key is in use and young enough
    Active,
    /// A key is past its maximum age; it still works
    Expired,
    /// An access is revoked
    Revoked,
}

#[derive(Clone, Copy, ValueEnum)]
enum Urgency {
    /// No key is due within 7 days
    NotDue,
    /// A key is due within 7 days
    DueSoon,
    /// A key is past its maximum age
    Overdue,
}

#[derive(Args)]
pub struct Exposures {
    /// Only this tenant's, `ten_…`
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

impl Tenants {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let status = self.status.map(|status| match status {
            Status::Active => "active",
            Status::Expired => "expired",
            Status::Revoked => "revoked",
        });
        let due = self.due.map(|due| match due {
            Urgency::NotDue => "not_due",
            Urgency::DueSoon => "due_soon",
            Urgency::Overdue => "overdue",
        });
        let filter = [("search", self.search.as_deref()), ("status", status), ("due", due)];
        let page = app.client.list(&["api", "admin", "secrets", "tenants"], &filter, &self.page).await?;
        app.out.page(&page, view::tenants(page.items()));
        Ok(())
    }
}

pub async fn tenant(app: &App<'_>, id: &str) -> Result<()> {
    let answer = app.client.get(&["api", "admin", "secrets", "tenants", id]).await?;
    app.out.answer(&answer, view::tenant(&answer.value));
    Ok(())
}

impl Exposures {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let filter = [("tenantId", self.tenant.as_deref())];
        let page = app.client.list(&["api", "admin", "exposures"], &filter, &self.page).await?;
        app.out.page(&page, view::exposures(page.items()));
        Ok(())
    }
}
