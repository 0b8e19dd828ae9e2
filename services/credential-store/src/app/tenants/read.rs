//! Reads and lists tenants: operators see all, others their own.

use crate::domain::tenant::Tenant;
use crate::domain::text::search_pattern;
use crate::store::tenant;
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;

pub struct ReadTenants {
    pub db: Db,
    pub guard: Guard,
}

impl ReadTenants {
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Tenant, Failure> {
        let missing = || Failure::not_found(Reason::TenantNotFound, id);
        let parsed = TenantId::parse(id).map_err(|_| missing())?;
        self.guard.allow(caller, "tenant.read", Some(&parsed), id, Reason::TenantNotFound).await?;
        tenant::get(&self.db, &parsed).await?.ok_or_else(missing)
    }

    pub async fn list(
        &self,
        caller: &Caller,
        search: &str,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Tenant>, String), Failure> {
        let own = caller.principal.tenant.as_ref();
        self.guard.allow(caller, "tenant.list", own, "", Reason::TenantNotFound).await?;
        let pattern = search_pattern(search)?;
        let page = Page::parse(size, token, search)?;
        let rows = tenant::list(&self.db, own, &pattern, page.key(), page.size.saturating_add(1)).await?;
        Ok(page.cut(rows, |row| (row.created_at, row.id.to_string())))
    }
}
