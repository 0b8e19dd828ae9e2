//! Lists and revokes tokens.

use super::create_token::may_grant;
use crate::store::token::{self, Token};
use keywright_domain::caller::{Caller, Role};
use keywright_domain::ids::{TenantId, TokenId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::page::Page;
use keywright_storage::{Db, Outcome};

pub struct Tokens {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl Tokens {
    pub async fn list(
        &self,
        caller: &Caller,
        tenant: &str,
        size: i32,
        page_token: &str,
    ) -> Result<(Vec<Token>, String), Failure> {
        let tenant = match tenant {
            "" => caller.principal.tenant.clone(),
            id => Some(TenantId::parse(id).map_err(|_| Failure::not_found(Reason::TenantNotFound, id))?),
        };
        let target = tenant.as_ref().map(ToString::to_string).unwrap_or_default();
        self.guard.allow(caller, "token.list", tenant.as_ref(), &target, Reason::TenantNotFound).await?;
        let page = Page::parse(size, page_token, &target)?;
        let rows = token::list(&self.db, tenant.as_ref(), page.key(), page.size.saturating_add(1)).await?;
        Ok(page.cut(rows, |row| (row.created_at, row.id.to_string())))
    }

    /// Revokes a token and, unless they are to stay, those created with it; the first instant stays. Everybody may end
    /// his own.
    pub async fn revoke(&self, caller: &Caller, id: &str, keep_created: bool) -> Result<Token, Failure> {
        let missing = || Failure::not_found(Reason::TokenNotFound, id);
        let parsed = TokenId::parse(id).map_err(|_| missing())?;
        let token = token::get(&self.db, &parsed).await?.ok_or_else(missing)?;
        self.guard.allow(caller, "token.revoke", token.tenant.as_ref(), id, Reason::TokenNotFound).await?;
        let own = token.principal.as_str() == caller.principal.id;
        if !own
            && caller.principal.role != Role::Operator
            && !may_grant(caller, token.role, token.tenant.as_ref())
        {
            let entry = Entry::new("token.revoke").tenant(token.tenant.as_ref()).target(id);
            self.audit.denied(caller, entry, Reason::PermissionDenied).await;
            return Err(Failure::new(
                Reason::PermissionDenied,
                "Your role cannot revoke a token of this role.",
            ));
        }
        let intent = self
            .audit
            .intend(caller, Entry::new("token.revoke").tenant(token.tenant.as_ref()).target(id))
            .await?;
        let result: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if keep_created {
                    token::revoke_alone(&mut tx, &parsed).await?;
                } else {
                    token::revoke(&mut tx, &parsed).await?;
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result?;
        token::get(&self.db, &parsed).await?.ok_or_else(missing)
    }
}
