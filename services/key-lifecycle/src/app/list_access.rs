//! Lists a tenant's accesses.

use super::view::AccessView;
use super::{gates, view_access};
use crate::adapters::credential_store::CredentialStore;
use crate::store;
use keywright_domain::caller::{Caller, Role};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;
use tracing::instrument;

#[derive(Clone)]
pub struct ListAccess {
    pub db: Db,
    pub guard: Guard,
    pub store: CredentialStore,
}

impl ListAccess {
    /// One page and where the next begins.
    #[instrument(skip_all, fields(tenant))]
    pub async fn run(
        &self,
        caller: &Caller,
        tenant: &str,
        size: i32,
        token: &str,
    ) -> Result<(Vec<AccessView>, String), Failure> {
        let tenant = gates::tenant(tenant)?;
        self.guard
            .allow(caller, "access.list", Some(&tenant), tenant.as_str(), Reason::TenantNotFound)
            .await?;
        let page = Page::parse(size, token, tenant.as_str())?;
        if caller.principal.role == Role::Operator {
            self.store.require_tenant(caller, &tenant).await?;
        }
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let rows = store::access::page(&mut reader, &tenant, &page).await?;
        let (rows, next) = page.cut(rows, |access| (access.created_at, access.id.to_string()));
        let mut views = Vec::with_capacity(rows.len());
        for access in rows {
            views.push(view_access::load(&mut reader, caller, access, now).await?);
        }
        Ok((views, next))
    }
}
