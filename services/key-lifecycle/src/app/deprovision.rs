//! Gives an access up for good: a revocation whose end lets go of its servers and accounts. Always accepted, as a
//! revocation is.

use super::gates;
use super::revoke_access::{Wanted, before, begin};
use crate::custody::Custody;
use crate::model::{RevocationState, SessionsToEnd};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, RevocationId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::instrument;

#[derive(Clone)]
pub struct DeprovisionAccess {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub custody: Custody,
    pub wake: Arc<Notify>,
}

/// As it was asked for.
#[derive(Debug)]
pub struct Deprovision {
    pub tenant: String,
    pub access: String,
    pub confirmation: Option<String>,
    pub comment: String,
}

impl DeprovisionAccess {
    #[instrument(skip_all, fields(access = shown(&asked.access)))]
    pub async fn run(&self, caller: &Caller, asked: Deprovision) -> Result<RevocationId, Failure> {
        let (tenant, access) = gates::tenant_and_access(&asked.tenant, &asked.access)?;
        let missing = Reason::AccessNotFound;
        self.guard.allow(caller, "access.deprovision", Some(&tenant), access.as_str(), missing).await?;
        gates::comment(&asked.comment)?;
        let mut reader = store::reader(&self.db).await?;
        gates::find(&mut reader, &tenant, &access).await?;
        gates::confirmed(asked.confirmation.as_deref(), &access)?;
        drop(reader);
        let id = self.give_up(caller, &tenant, &access, &asked.comment).await?;
        self.custody.tell_of_the_end(&id).await;
        Ok(id)
    }

    /// For whoever was allowed to, or the service itself on behalf of a greater work. Asked again, it answers the
    /// revocation that is at it.
    pub async fn give_up(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        access: &AccessId,
        comment: &str,
    ) -> Result<RevocationId, Failure> {
        let wanted = Wanted {
            tenant: tenant.clone(),
            access: access.clone(),
            compromised: false,
            sessions: SessionsToEnd::RevokedKeys,
            comment: comment.to_owned(),
        };
        let entry = Entry::new("access.deprovision").tenant(Some(tenant)).target(access.as_str());
        let entry = entry.comment(comment);
        let intent = self.audit.intend_or_spool(caller, entry, self.db.now().await?).await?;
        let result = self.db.serialized(|| self.record(&wanted, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        self.wake.notify_one();
        result
    }

    async fn record(&self, wanted: &Wanted, intent: &Intent) -> Result<RevocationId, Error> {
        let mut tx = self.db.begin(intent).await?;
        let id = record(&mut tx, wanted).await?;
        intent.done(&mut tx, Outcome::succeeded().with("revocationId", id.as_str())).await?;
        tx.commit().await?;
        Ok(id)
    }
}

async fn record(tx: &mut Tx, wanted: &Wanted) -> Result<RevocationId, Error> {
    let access = gates::find(tx.conn(), &wanted.tenant, &wanted.access).await?;
    store::access::deprovision(tx, &access.id).await?;
    let Some(last) = before(tx.conn(), &access, wanted).await? else {
        return begin(tx, &access, wanted).await;
    };
    let stands = store::revocation::find(tx.conn(), &last).await?;
    let at_it = stands.is_some_and(|last| last.state == RevocationState::Running);
    if at_it || access.deprovisioned_at.is_some() {
        return Ok(last);
    }
    // The keys ended before: what a host has proven then, it need not prove again.
    let proven = store::revocation::hosts(tx.conn(), &last).await?;
    let id = begin(tx, &access, wanted).await?;
    for host in proven.iter().filter(|host| host.proven_at.is_some()) {
        store::revocation::update_host(tx, &id, host).await?;
    }
    Ok(id)
}
