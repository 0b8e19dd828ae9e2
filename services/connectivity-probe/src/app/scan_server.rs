//! Scans a registered server's host keys and says which are pinned. Nothing is trusted by this.

use crate::adapters::directory::{Directory, Server};
use crate::adapters::known_keys::fingerprints;
use crate::adapters::prober::Prober;
use crate::adapters::route::Routes;
use keywright_domain::caller::Caller;
use keywright_domain::key::PublicKey;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
use keywright_ssh::Scanned;
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "server.host_key_scan";

pub struct ScanServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub directory: Directory,
    pub routes: Routes,
    pub prober: Prober,
}

/// A host key as the server shows it.
pub struct ScannedKey {
    pub key: PublicKey,
    pub pinned: bool,
}

impl ScanServer {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, server: &str) -> Result<Vec<ScannedKey>, Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, server).await?;
        let (tenant, target) = (Some(&server.tenant), server.id.as_str());
        let intent = self.audit.intend(caller, Entry::new(ACTION).tenant(tenant).target(target)).await?;
        let result = match self.scan(caller, &server).await {
            Ok(scan) => self.record(&intent, scan.keys).await,
            Err(failure) => Err(failure),
        };
        self.audit.conclude(&self.db, &intent, &result).await;
        let pinned = |key: PublicKey| ScannedKey { pinned: server.known.keys.contains(&key), key };
        Ok(result?.into_iter().map(pinned).collect())
    }

    async fn scan(&self, caller: &Caller, server: &Server) -> Result<Scanned, Failure> {
        self.prober.scan(&self.routes.to(caller, server).await?).await
    }

    async fn record(&self, intent: &Intent, keys: Vec<PublicKey>) -> Result<Vec<PublicKey>, Failure> {
        let outcome = Outcome::succeeded().with("fingerprints", fingerprints(&keys));
        self.audit.settle(&self.db, intent, outcome).await?;
        Ok(keys)
    }
}
