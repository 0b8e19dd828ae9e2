//! Closes a download: the key is stored safely. Where the policy says so, the last one ends the private half here.

use super::gates;
use crate::model::VersionState;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{AccessId, ClaimId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
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
        let forgotten = forget(&mut tx, tenant, access).await?;
        store::access::touch(&mut tx, access).await?;
        intent.done(&mut tx, Outcome::succeeded().with("forgotten", forgotten.to_string())).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Destroys the private half of the active key if its policy says so and nobody may fetch it any more.
pub(crate) async fn forget(tx: &mut Tx, tenant: &TenantId, access: &AccessId) -> Result<bool, Error> {
    let settings = store::policy::effective(tx.conn(), tenant, Some(access)).await?;
    let versions = store::version::of(tx.conn(), access).await?;
    let active = versions.into_iter().find(|version| version.state == VersionState::Active);
    let Some(active) = active.filter(|version| settings.forget_after_download && version.has_private_half())
    else {
        return Ok(false);
    };
    let made = store::claim::of_version(tx.conn(), &active.id).await?;
    let allowed = usize::try_from(settings.downloads_per_version).unwrap_or(usize::MAX);
    if made.is_empty() || made.len() < allowed || made.iter().any(|claim| claim.is_open(tx.now())) {
        return Ok(false);
    }
    store::version::destroy(tx, &active.id).await?;
    Ok(true)
}
