//! Closes a download: the key is stored safely.

use super::gates;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{AccessId, ClaimId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

#[derive(Clone)]
pub struct AcknowledgeDownload {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl AcknowledgeDownload {
    /// Repeating it changes nothing.
    #[instrument(skip_all, fields(access))]
    pub async fn run(&self, caller: &Caller, tenant: &str, access: &str, claim: &str) -> Result<(), Failure> {
        let (tenant, access) = gates::tenant_and_access(tenant, access)?;
        let missing = Reason::AccessNotFound;
        self.guard.allow(caller, "access.acknowledge", Some(&tenant), access.as_str(), missing).await?;
        let claim = ClaimId::parse(claim).map_err(|_| Failure::not_found(Reason::ClaimNotFound, claim))?;
        let entry = Entry::new("access.acknowledge").tenant(Some(&tenant)).target(access.as_str());
        let intent = self.audit.intend(caller, entry.detail("claimId", claim.as_str())).await?;
        let closed = self.db.serialized(|| self.close(caller, &tenant, &access, &claim, &intent));
        let result = closed.await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn close(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        access: &AccessId,
        claim: &ClaimId,
        intent: &Intent,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        gates::find(tx.conn(), tenant, access).await?;
        let found = store::claim::find(tx.conn(), access, claim).await?;
        if found.is_none_or(|found| found.principal != caller.principal.id) {
            return Err(Failure::not_found(Reason::ClaimNotFound, claim.as_str()).into());
        }
        store::claim::acknowledge(&mut tx, claim).await?;
        store::access::touch(&mut tx, access).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }
}
