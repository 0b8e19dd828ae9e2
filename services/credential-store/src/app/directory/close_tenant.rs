//! The end of a tenant that key-lifecycle has offboarded: first nobody comes in any more, then all that is here of it
//! goes.
//!
//! Invariant: nothing is deleted while a managed key of the tenant may still be in use, or a server has a management
//! key; what is deleted goes in one transaction, its material is destroyed after it.

use crate::app::custody::shelf::Shelf;
use crate::domain::tenant::{State, Tenant};
use crate::store;
use crate::store::{invitation, tenant, token};
use keywright_domain::caller::Caller;
use keywright_domain::ids::{TenantId, VersionId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "directory.close_tenant";

pub struct CloseTenant {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub shelf: Shelf,
}

impl CloseTenant {
    /// Idempotent; a deleted tenant is answered as such.
    #[instrument(skip_all, fields(tenant = shown(id), delete))]
    pub async fn run(&self, caller: &Caller, id: &str, delete: bool) -> Result<Tenant, Failure> {
        let missing = || Failure::not_found(Reason::TenantNotFound, id);
        let parsed = TenantId::parse(id).map_err(|_| missing())?;
        self.guard.allow(caller, ACTION, Some(&parsed), id, Reason::TenantNotFound).await?;
        let known = tenant::named(&self.db, std::slice::from_ref(&parsed)).await?;
        let Some(before) = known.into_iter().next() else { return Err(missing()) };
        if before.state == State::Deleted || (before.state == State::Suspended && !delete) {
            return Ok(before);
        }
        let entry = Entry::new(ACTION).tenant(Some(&parsed)).target(id).detail("delete", delete.to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let closed: Result<Vec<VersionId>, Error> =
            self.db.serialized(|| self.close(&parsed, delete, &intent)).await;
        let closed = closed.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &closed).await;
        for version in &closed? {
            self.shelf.bury(version).await;
        }
        let now = tenant::named(&self.db, std::slice::from_ref(&parsed)).await?;
        now.into_iter().next().ok_or_else(missing)
    }

    async fn close(&self, id: &TenantId, delete: bool, intent: &Intent) -> Result<Vec<VersionId>, Error> {
        let mut tx = self.db.begin(intent).await?;
        let mut outcome = Outcome::succeeded();
        let mut doomed = Vec::new();
        match tenant::state_in(&mut tx, id).await? {
            // Another replica was here.
            None => {}
            Some(_) if delete => {
                refuse_in_use(&mut tx, id).await?;
                invitation::withdraw_all(&mut tx, id).await?;
                token::revoke_tenant(&mut tx, id).await?;
                let servers = delete_servers(&mut tx, id).await?;
                outcome = outcome.with("servers", servers.to_string());
                doomed = self.delete_credentials(&mut tx, id).await?;
                tenant::delete(&mut tx, id).await?;
            }
            Some(_) => {
                tenant::set_state(&mut tx, id, State::Suspended).await?;
                token::end_tenant(&mut tx, id).await?;
            }
        }
        intent.done(&mut tx, outcome).await?;
        tx.commit().await?;
        Ok(doomed)
    }

    /// Saved and managed; what is left of their material.
    async fn delete_credentials(&self, tx: &mut Tx, id: &TenantId) -> Result<Vec<VersionId>, Error> {
        let mut doomed = Vec::new();
        for credential in &tenant::credentials(tx, id).await? {
            for version in store::version::list_in(tx, credential).await? {
                if version.destroyed_at.is_none() {
                    self.shelf.doom(tx, &version.id).await?;
                    doomed.push(version.id);
                }
            }
            store::usage::drop_references(tx, credential.as_str()).await?;
            store::credential::delete(tx, credential).await?;
        }
        Ok(doomed)
    }
}

async fn delete_servers(tx: &mut Tx, id: &TenantId) -> Result<usize, Error> {
    let servers = tenant::servers(tx, id).await?;
    for server in &servers {
        store::usage::drop_references(tx, server.as_str()).await?;
        store::server::delete(tx, server).await?;
    }
    Ok(servers.len())
}

async fn refuse_in_use(tx: &mut Tx, id: &TenantId) -> Result<(), Error> {
    let accesses = tenant::belongings(tx, id).await?.accesses;
    let managed = tenant::managed_servers(tx, id).await?;
    if accesses == 0 && managed == 0 {
        return Ok(());
    }
    let message =
        format!("{accesses} SSH accesses and {managed} management keys of the tenant are still in use.");
    let failure = Failure::new(Reason::TenantInUse, message);
    let failure = failure.with("totalAccesses", accesses.to_string());
    Err(failure.with("totalManaged", managed.to_string()).into())
}
