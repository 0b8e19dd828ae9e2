//! Servers and tenants in pages, for background work of the other services and for overviews.

use crate::domain::server::Server;
use crate::domain::tenant::Tenant;
use crate::domain::text::search_pattern;
use crate::store;
use crate::store::server::Among;
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::{MOST, Page};
use keywright_storage::Db;

const ACTION: &str = "directory.read";
/// As many as `store::tenant::named` takes.
const AT_ONCE: usize = 10;

pub struct ListDirectory {
    pub db: Db,
    pub guard: Guard,
}

/// Which servers; empty text narrows nothing.
pub struct Servers {
    pub tenant_id: String,
    pub group: String,
    pub managed_only: bool,
    pub page_size: i32,
    pub page_token: String,
}

/// Which tenants.
pub struct Tenants {
    pub tenant_ids: Vec<String>,
    pub search: String,
    pub page_size: i32,
    pub page_token: String,
}

impl ListDirectory {
    /// Oldest first.
    pub async fn servers(&self, caller: &Caller, asked: Servers) -> Result<(Vec<Server>, String), Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::ServerNotFound).await?;
        let among = Among { tenant: &asked.tenant_id, group: &asked.group, managed_only: asked.managed_only };
        let page = Page::parse(asked.page_size, &asked.page_token, &format!("{among:?}"))?;
        let rows = store::server::among(&self.db, among, &page).await?;
        Ok(page.cut(rows, |server| (server.created_at, server.id.to_string())))
    }

    /// Newest first. The named ones come in one answer, those that are deleted too.
    pub async fn tenants(&self, caller: &Caller, asked: Tenants) -> Result<(Vec<Tenant>, String), Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::TenantNotFound).await?;
        if !asked.tenant_ids.is_empty() {
            return Ok((self.named(&asked.tenant_ids).await?, String::new()));
        }
        let pattern = search_pattern(&asked.search)?;
        let page = Page::parse(asked.page_size, &asked.page_token, &pattern)?;
        let limit = page.size.saturating_add(1);
        let rows = store::tenant::list(&self.db, None, &pattern, page.key(), limit).await?;
        Ok(page.cut(rows, |tenant| (tenant.created_at, tenant.id.to_string())))
    }

    async fn named(&self, ids: &[String]) -> Result<Vec<Tenant>, Failure> {
        let most = usize::try_from(MOST).unwrap_or_default();
        let parsed: Result<Vec<_>, _> = ids.iter().map(|id| TenantId::parse(id)).collect();
        let parsed = parsed.ok().filter(|ids| ids.len() <= most);
        let parsed = parsed
            .ok_or_else(|| Failure::violation("tenantIds", format!("must be at most {MOST} tenants' ids")))?;
        let mut found = Vec::with_capacity(parsed.len());
        for some in parsed.chunks(AT_ONCE) {
            found.extend(store::tenant::named(&self.db, some).await?);
        }
        found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }
}
