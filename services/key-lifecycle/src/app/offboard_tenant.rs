//! Begins the end of a tenant, and reads how it stands. Always accepted, as a revocation: hosts follow as soon as they can.

use super::gates;
use crate::adapters::credential_store::CredentialStore;
use crate::model::Offboarding;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{TenantId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::instrument;

const ACTION: &str = "tenant.offboard";

#[derive(Clone)]
pub struct OffboardTenant {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    pub wake: Arc<Notify>,
}

impl OffboardTenant {
    /// Repeating it answers the one that was begun.
    #[instrument(skip_all, fields(tenant = shown(tenant)))]
    pub async fn run(
        &self,
        caller: &Caller,
        tenant: &str,
        confirmation: Option<&str>,
        comment: &str,
    ) -> Result<Offboarding, Failure> {
        let id = self.authorize(caller, tenant).await?;
        gates::comment(comment)?;
        if self.find(&id).await?.is_none() {
            self.store.require_tenant(caller, &id).await?;
        }
        gates::confirmed_tenant(confirmation, &id)?;
        let entry = Entry::new(ACTION).tenant(Some(&id)).target(id.as_str()).comment(comment);
        let intent = self.audit.intend_or_spool(caller, entry, self.db.now().await?).await?;
        let begun = self.db.serialized(|| self.record(&id, comment, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &begun).await;
        begun?;
        // Its people are turned away before this answers; where that fails now, the worker does it.
        if let Err(failure) = self.store.close_tenant(id.as_str(), &id, false).await {
            tracing::info!(reason = failure.reason.as_str(), "the tenant is suspended by the worker");
        }
        self.wake.notify_one();
        self.found(&id).await
    }

    /// It stays readable when the tenant is deleted.
    pub async fn get(&self, caller: &Caller, tenant: &str) -> Result<Offboarding, Failure> {
        let id = self.authorize(caller, tenant).await?;
        self.found(&id).await
    }

    /// The file; TENANT_NOT_FOUND before there is one.
    pub async fn export(&self, caller: &Caller, tenant: &str) -> Result<String, Failure> {
        let id = self.authorize(caller, tenant).await?;
        if self.found(&id).await?.exported_at.is_none() {
            let failure = Failure::not_found(Reason::TenantNotFound, id.as_str());
            return Err(Failure { message: "There is no export of the tenant yet.".to_owned(), ..failure });
        }
        let mut reader = store::reader(&self.db).await?;
        Ok(store::offboarding::exported(&mut reader, &id).await?)
    }

    async fn authorize(&self, caller: &Caller, tenant: &str) -> Result<TenantId, Failure> {
        let id = gates::tenant(tenant)?;
        self.guard.allow(caller, ACTION, Some(&id), id.as_str(), Reason::TenantNotFound).await?;
        Ok(id)
    }

    async fn record(&self, id: &TenantId, comment: &str, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        if store::offboarding::find(tx.conn(), id).await?.is_none() {
            let accesses = store::offboarding::accesses(tx.conn(), id, true).await?;
            store::offboarding::insert(&mut tx, id, comment, accesses.len()).await?;
        }
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn find(&self, id: &TenantId) -> Result<Option<Offboarding>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        Ok(store::offboarding::find(&mut reader, id).await?)
    }

    async fn found(&self, id: &TenantId) -> Result<Offboarding, Failure> {
        let found = self.find(id).await?;
        found.ok_or_else(|| Failure::not_found(Reason::TenantNotFound, id.as_str()))
    }
}
