//! The people and programs of a tenant, and how one of them is removed.

use crate::store::member::{self, Member};
use crate::store::{tenant, token};
use keywright_domain::caller::Caller;
use keywright_domain::ids::{PrincipalId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::page::Page;
use keywright_storage::{Db, Outcome};

pub struct Members {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl Members {
    pub async fn list(
        &self,
        caller: &Caller,
        tenant: &str,
        size: i32,
        page_token: &str,
    ) -> Result<(Vec<Member>, String), Failure> {
        let id = allowed(&self.guard, caller, "member.list", tenant).await?;
        exists(&self.db, &id).await?;
        let page = Page::parse(size, page_token, tenant)?;
        let rows = member::list(&self.db, &id, page.key(), page.size.saturating_add(1)).await?;
        Ok(page.cut(rows, |row| (row.created_at, row.principal.to_string())))
    }

    /// Ends everything that he holds in the tenant; the first instant stays.
    pub async fn remove(&self, caller: &Caller, tenant: &str, principal: &str) -> Result<Member, Failure> {
        let id = allowed(&self.guard, caller, "member.remove", tenant).await?;
        let missing = || Failure::not_found(Reason::MemberNotFound, principal);
        let who = PrincipalId::parse(principal).map_err(|_| missing())?;
        let known = member::get(&self.db, &id, &who).await?.ok_or_else(missing)?;
        if known.removed_at.is_some() {
            return Ok(known);
        }
        let entry = Entry::new("member.remove")
            .tenant(Some(&id))
            .target(who.as_str())
            .detail("role", known.role.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if token::is_last_owner(&mut tx, &id, &who).await? {
                    return Err(Failure::new(
                        Reason::PolicyForbids,
                        "The tenant's last owner cannot be removed: make somebody else an owner first.",
                    )
                    .into());
                }
                member::remove(&mut tx, &id, &who).await?;
                token::revoke_held(&mut tx, &id, &who).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result?;
        member::get(&self.db, &id, &who).await?.ok_or_else(missing)
    }
}

/// The tenant, if the caller may do this in it.
pub async fn allowed(
    guard: &Guard,
    caller: &Caller,
    action: &str,
    tenant: &str,
) -> Result<TenantId, Failure> {
    let id = TenantId::parse(tenant).map_err(|_| Failure::not_found(Reason::TenantNotFound, tenant))?;
    guard.allow(caller, action, Some(&id), tenant, Reason::TenantNotFound).await?;
    Ok(id)
}

/// A list of nobody in a tenant that never was would be a lie.
pub async fn exists(db: &Db, tenant: &TenantId) -> Result<(), Failure> {
    match tenant::get(db, tenant).await? {
        Some(_) => Ok(()),
        None => Err(Failure::not_found(Reason::TenantNotFound, tenant.as_str())),
    }
}
