//! Lists events, newest first: all for operators and auditors of the platform, a tenant's own for its owners and
//! admins.

use crate::store::event::{self, Event, Filter};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;

pub struct ListEvents {
    pub db: Db,
    pub guard: Guard,
}

impl ListEvents {
    pub async fn run(
        &self,
        caller: &Caller,
        mut filter: Filter,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Event>, String), Failure> {
        if filter.tenant.is_empty() {
            filter.tenant = caller.principal.tenant.as_ref().map(ToString::to_string).unwrap_or_default();
        }
        let tenant = match filter.tenant.as_str() {
            "" => None,
            id => Some(TenantId::parse(id).map_err(|_| Failure::not_found(Reason::TenantNotFound, id))?),
        };
        self.guard
            .allow(caller, "audit.read", tenant.as_ref(), &filter.tenant, Reason::TenantNotFound)
            .await?;
        let texts = [&filter.actor, &filter.action, &filter.target];
        if texts.iter().any(|text| text.len() > 200 || text.chars().any(|c| c.is_control() || c == '%')) {
            return Err(Failure::violation("target", "and actor and action must be ids or names"));
        }
        let page = Page::parse(size, token, &format!("{filter:?}"))?;
        let (before, _) = page.key();
        let events = event::list(&self.db, &filter, before, page.size.saturating_add(1)).await?;
        Ok(page.cut(events, |event| (Instant::from_micros(event.seq), String::new())))
    }
}
