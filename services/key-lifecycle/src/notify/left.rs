//! Tenants that were deleted: their targets go with them.

use super::Notifier;
use crate::adapters::directory::{Tenant, TenantState};
use crate::store;
use keywright_runtime::failure::{Error, Failure};

const PAGE: i64 = 500;

impl Notifier {
    /// The directory tells of a deletion only when it is asked.
    pub(super) async fn forget_the_left(&self) -> Result<(), Failure> {
        let mut after = String::new();
        loop {
            let mut reader = store::reader(&self.db).await?;
            let page = store::notification_target::tenants(&mut reader, &after, PAGE).await?;
            drop(reader);
            let Some(last) = page.last() else { return Ok(()) };
            after = last.to_string();
            let known = self.fan_out.store.tenants_named(&page).await?;
            let left: Vec<Tenant> =
                known.into_iter().filter(|tenant| tenant.state == TenantState::Deleted).collect();
            self.db.serialized(|| self.forget(&left)).await.map_err(Failure::from)?;
        }
    }

    async fn forget(&self, left: &[Tenant]) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("the targets of deleted tenants go").await?;
        for tenant in left {
            store::notification_target::delete_of(&mut tx, &tenant.id).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
