//! A list of what tenants have: which tenant's, narrowed by a search, page by page.

use super::find;
use crate::domain::text::search_pattern;
use crate::store::filter::Filter;
use keywright_domain::caller::Caller;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;

/// As it came.
pub struct Listing {
    pub tenant_id: String,
    pub search: String,
    pub page_size: i32,
    pub page_token: String,
}

impl Listing {
    /// What of it the caller may see.
    pub async fn narrow(
        &self,
        guard: &Guard,
        caller: &Caller,
        action: &str,
    ) -> Result<(Filter, Page), Failure> {
        let tenant = find::tenant_of_list(guard, caller, action, &self.tenant_id).await?;
        let pattern = search_pattern(&self.search)?;
        let page = find::page(self.page_size, &self.page_token, tenant.as_ref(), &pattern)?;
        Ok((Filter { tenant, pattern }, page))
    }
}
