//! Our own lines as they should be, where the policy of their access says so.
//!
//! Invariant: only through the converger, which knows our lines by their blobs and leaves all others byte for byte.

use super::scanner::Scanner;
use crate::adapters::door::Door;
use crate::model::{Access, DriftAction, ServerScan};
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::AccessId;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::Failure;
use keywright_storage::{Intent, Outcome};
use std::collections::BTreeSet;
use tracing::instrument;

#[derive(Clone)]
pub struct Repairer {
    pub scanner: Scanner,
    pub audit: Audit,
}

impl Repairer {
    /// How many accesses were repaired.
    #[instrument(skip_all, fields(server = %door.server.id))]
    pub async fn run(&self, door: &Door, scan: &ServerScan) -> Result<usize, Failure> {
        let named = scan.keys.iter().filter(|key| key.is_drift());
        let accesses: BTreeSet<AccessId> =
            named.filter_map(|key| AccessId::parse(&key.access).ok()).collect();
        let mut repaired = 0usize;
        for id in accesses {
            let Some(access) = self.repairable(door, scan, &id).await? else { continue };
            match self.repair(door, &access).await {
                Ok(()) => repaired = repaired.saturating_add(1),
                Err(failure) => {
                    tracing::info!(access = %id, reason = failure.reason.as_str(), "a drift could not be repaired");
                }
            }
        }
        Ok(repaired)
    }

    /// The access, if it is one of this server's accounts, its policy wants it and nothing else is at it.
    async fn repairable(
        &self,
        door: &Door,
        scan: &ServerScan,
        id: &AccessId,
    ) -> Result<Option<Access>, Failure> {
        let server = &door.server.id;
        let mut reader = store::reader(&self.scanner.db).await?;
        let Some(access) = store::access::find(&mut reader, id).await? else { return Ok(None) };
        let hosts = store::access::hosts(&mut reader, id).await?;
        let at_home = |key: &crate::model::ServerKey| {
            key.is_drift() && key.access == id.as_str() && key.account == access.account.as_str()
        };
        if !hosts.iter().any(|host| host.server == *server) || !scan.keys.iter().any(at_home) {
            return Ok(None);
        }
        let settings = store::policy::effective(&mut reader, &access.tenant, Some(id)).await?;
        let busy = store::rotation::running(&mut reader, id).await?.is_some();
        let frozen = store::freeze::is_frozen(&mut reader, &access.tenant).await?;
        let wanted = settings.drift_action == DriftAction::Repair && access.closed_at.is_none();
        Ok((wanted && !busy && !frozen).then_some(access))
    }

    async fn repair(&self, door: &Door, access: &Access) -> Result<(), Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, &door.work);
        let entry = Entry::new("host.repair").tenant(Some(&access.tenant)).target(door.server.id.as_str());
        let entry = entry.detail("accessId", access.id.as_str());
        let intent = self.audit.intend(&caller, entry).await?;
        let result = self.converge(door, access, &intent).await;
        self.audit.conclude(&self.scanner.db, &intent, &result).await;
        result
    }

    async fn converge(&self, door: &Door, access: &Access, intent: &Intent) -> Result<(), Failure> {
        self.scanner.converger.converge(door, access).await?;
        self.audit.settle(&self.scanner.db, intent, Outcome::succeeded()).await
    }
}
