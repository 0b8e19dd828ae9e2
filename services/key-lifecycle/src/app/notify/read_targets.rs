//! Lists who is told, and what was sent to one of them.

use super::allowed;
use crate::app::gates;
use crate::model::{Delivery, Target};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;
use tracing::instrument;

#[derive(Clone)]
pub struct ReadTargets {
    pub db: Db,
    pub guard: Guard,
}

impl ReadTargets {
    /// One page and where the next begins: of the named tenant, of the caller's own, or everybody's.
    #[instrument(skip_all)]
    pub async fn list(
        &self,
        caller: &Caller,
        tenant: &str,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Target>, String), Failure> {
        let tenant = match tenant {
            "" => caller.principal.tenant.clone(),
            id => Some(gates::tenant(id)?),
        };
        let name = tenant.as_ref().map_or("", TenantId::as_str);
        self.guard.allow(caller, "notification.list", tenant.as_ref(), name, Reason::TenantNotFound).await?;
        let page = Page::parse(size, token, name)?;
        let mut reader = store::reader(&self.db).await?;
        let rows = store::notification_target::page(&mut reader, tenant.as_ref(), &page).await?;
        Ok(page.cut(rows, |target| (target.created_at, target.id.to_string())))
    }

    #[instrument(skip_all)]
    pub async fn deliveries(
        &self,
        caller: &Caller,
        target: &str,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Delivery>, String), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let target = allowed(&mut reader, &self.guard, caller, "notification.list", target).await?;
        let page = Page::parse(size, token, target.id.as_str())?;
        let rows = store::delivery::page(&mut reader, &target.id, &page).await?;
        Ok(page.cut(rows, |delivery| (delivery.created_at, delivery.id.to_string())))
    }
}
