//! Lists invitations, and withdraws one that nobody redeemed.

use super::members::{allowed, exists};
use crate::store::invitation::{self, Invitation};
use keywright_domain::caller::Caller;
use keywright_domain::ids::InvitationId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::page::Page;
use keywright_storage::{Db, Outcome};

pub struct Invitations {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl Invitations {
    pub async fn list(
        &self,
        caller: &Caller,
        tenant: &str,
        size: i32,
        page_token: &str,
    ) -> Result<(Vec<Invitation>, String), Failure> {
        let id = allowed(&self.guard, caller, "invitation.list", tenant).await?;
        exists(&self.db, &id).await?;
        let page = Page::parse(size, page_token, tenant)?;
        let rows = invitation::list(&self.db, &id, page.key(), page.size.saturating_add(1)).await?;
        Ok(page.cut(rows, |row| (row.created_at, row.id.to_string())))
    }

    pub async fn withdraw(&self, caller: &Caller, tenant: &str, invitation: &str) -> Result<(), Failure> {
        let missing = || Failure::not_found(Reason::InvitationNotFound, invitation);
        let in_tenant = allowed(&self.guard, caller, "invitation.revoke", tenant).await;
        // Of a foreign tenant there is no invitation.
        let tenant = in_tenant.map_err(|failure| match failure.reason {
            Reason::TenantNotFound => missing(),
            _ => failure,
        })?;
        let id = InvitationId::parse(invitation).map_err(|_| missing())?;
        let entry = Entry::new("invitation.revoke").tenant(Some(&tenant)).target(id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if !invitation::withdraw(&mut tx, &tenant, &id).await? {
                    return Err(missing().into());
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}
