//! Stops or resumes all automation, or one tenant's.

use super::gates;
use crate::adapters::credential_store::CredentialStore;
use crate::model::Freeze;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

/// The target of everybody's brake in the audit log.
const EVERYBODY: &str = "platform";

#[derive(Clone)]
pub struct Freezes {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
}

impl Freezes {
    #[instrument(skip_all)]
    pub async fn read(&self, caller: &Caller) -> Result<Vec<Freeze>, Failure> {
        self.guard.allow(caller, "freeze.read", None, EVERYBODY, Reason::PermissionDenied).await?;
        let mut reader = store::reader(&self.db).await?;
        Ok(store::freeze::all(&mut reader).await?)
    }

    /// `tenant` is empty for the whole installation. Repeating it changes nothing.
    #[instrument(skip_all, fields(frozen))]
    pub async fn set(
        &self,
        caller: &Caller,
        frozen: bool,
        tenant: &str,
        comment: &str,
    ) -> Result<Vec<Freeze>, Failure> {
        let tenant = if tenant.is_empty() { None } else { Some(gates::tenant(tenant)?) };
        let target = tenant.as_ref().map_or(EVERYBODY, TenantId::as_str);
        let missing = if tenant.is_some() { Reason::TenantNotFound } else { Reason::PermissionDenied };
        self.guard.allow(caller, "freeze.set", tenant.as_ref(), target, missing).await?;
        gates::comment(comment)?;
        if let Some(tenant) = &tenant {
            self.store.require_tenant(caller, tenant).await?;
        }
        let entry = Entry::new("freeze.set").tenant(tenant.as_ref()).target(target).comment(comment);
        let intent = self.audit.intend(caller, entry.detail("frozen", frozen.to_string())).await?;
        let by = caller.principal.id.as_str();
        let set = self.db.serialized(|| self.write(by, frozen, tenant.as_ref(), comment, &intent)).await;
        let result = set.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn write(
        &self,
        by: &str,
        frozen: bool,
        tenant: Option<&TenantId>,
        comment: &str,
        intent: &Intent,
    ) -> Result<Vec<Freeze>, Error> {
        let mut tx = self.db.begin(intent).await?;
        if frozen {
            store::freeze::pull(&mut tx, tenant, by, comment).await?;
        } else {
            store::freeze::release(&mut tx, tenant).await?;
        }
        let all = store::freeze::all(tx.conn()).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(all)
    }
}
