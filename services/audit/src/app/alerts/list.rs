//! Lists alerts, newest first: all for operators and auditors of the platform, a tenant's own for its owners and admins.

use crate::alerting::alert::Alert;
use crate::alerting::rule::is_id;
use crate::store::alert::{self, Filter};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;

pub struct ListAlerts {
    pub db: Db,
    pub guard: Guard,
}

impl ListAlerts {
    /// The page, and where the next one begins.
    pub async fn run(
        &self,
        caller: &Caller,
        mut filter: Filter,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Alert>, String), Failure> {
        crate::app::scope(&self.guard, caller, "audit.read", &mut filter.tenant).await?;
        if !filter.rule.is_empty() && !is_id(&filter.rule) {
            return Err(Failure::violation("ruleId", "must be the name of a rule"));
        }
        let page = Page::parse(size, token, &format!("{filter:?}"))?;
        let (before, _) = page.key();
        let alerts = alert::list(&self.db, &filter, before, page.size.saturating_add(1)).await?;
        Ok(page.cut(alerts, |alert| (Instant::from_micros(alert.number), String::new())))
    }
}
