//! Suspends a tenant, and ends a suspension.
//!
//! Invariant: a suspension turns away the tenant's people and programs at once, wherever they are; it touches no host
//! and no key, and holds back no revocation.

use crate::domain::tenant::{State, Tenant};
use crate::store::{tenant, token};
use keywright_domain::caller::Caller;
use keywright_domain::ids::{TenantId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

/// A comment has at most this many characters.
const LONGEST_COMMENT: usize = 500;

pub struct SuspendTenant {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl SuspendTenant {
    pub async fn suspend(&self, caller: &Caller, id: &str, comment: &str) -> Result<Tenant, Failure> {
        self.run(caller, id, comment, "tenant.suspend", State::Suspended).await
    }

    pub async fn resume(&self, caller: &Caller, id: &str, comment: &str) -> Result<Tenant, Failure> {
        self.run(caller, id, comment, "tenant.resume", State::Active).await
    }

    /// Repeating it changes nothing.
    #[instrument(skip_all, fields(tenant = shown(id)))]
    async fn run(
        &self,
        caller: &Caller,
        id: &str,
        comment: &str,
        action: &str,
        state: State,
    ) -> Result<Tenant, Failure> {
        let missing = || Failure::not_found(Reason::TenantNotFound, id);
        let parsed = TenantId::parse(id).map_err(|_| missing())?;
        self.guard.allow(caller, action, Some(&parsed), id, Reason::TenantNotFound).await?;
        if comment.chars().count() > LONGEST_COMMENT || comment.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Failure::violation("comment", "must be text of at most 500 characters"));
        }
        let entry = Entry::new(action).tenant(Some(&parsed)).target(id).comment(comment);
        let intent = self.audit.intend(caller, entry).await?;
        let changed: Result<Tenant, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let before = tenant::find_in(&mut tx, &parsed).await?.ok_or_else(missing)?;
                if before.state != state {
                    tenant::set_state(&mut tx, &parsed, state).await?;
                    if state == State::Suspended {
                        token::end_tenant(&mut tx, &parsed).await?;
                    }
                }
                let after = tenant::find_in(&mut tx, &parsed).await?.ok_or_else(missing)?;
                let outcome = Outcome::succeeded().with("before", before.state.as_str());
                intent.done(&mut tx, outcome).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await;
        let result = changed.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}
