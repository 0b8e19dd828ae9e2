//! Scans a registered server's host keys and says which are pinned. Nothing is trusted by this.

use crate::adapters::directory::{Directory, Server};
use crate::adapters::known_keys::fingerprints;
use crate::adapters::prober::Prober;
use crate::adapters::route::Routes;
use crate::adapters::sshfp::Sshfp;
use crate::sshfp::Hint;
use keywright_domain::caller::Caller;
use keywright_domain::key::PublicKey;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
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
    pub sshfp: Sshfp,
}

/// The host keys as the server shows them.
pub struct Scan {
    pub keys: Vec<PublicKey>,
    /// Those of them that are pinned.
    pub pinned: Vec<PublicKey>,
    /// What DNS says of them.
    pub hint: Hint,
}

impl ScanServer {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, server: &str) -> Result<Scan, Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, server).await?;
        let (tenant, target) = (Some(&server.tenant), server.id.as_str());
        let intent = self.audit.intend(caller, Entry::new(ACTION).tenant(tenant).target(target)).await?;
        let result = match self.scan(caller, &server).await {
            Ok((keys, hint)) => self.record(&intent, keys, hint).await,
            Err(failure) => Err(failure),
        };
        self.audit.conclude(&self.db, &intent, &result).await;
        let (keys, hint) = result?;
        let pinned = keys.iter().filter(|key| server.known.keys.contains(key)).cloned().collect();
        Ok(Scan { keys, pinned, hint })
    }

    async fn scan(&self, caller: &Caller, server: &Server) -> Result<(Vec<PublicKey>, Hint), Failure> {
        let scan = async { self.prober.scan(&self.routes.to(caller, server).await?).await };
        let (scanned, hint) = self.sshfp.beside(server.host.as_str(), scan).await?;
        Ok((scanned.keys, hint))
    }

    async fn record(
        &self,
        intent: &Intent,
        keys: Vec<PublicKey>,
        hint: Hint,
    ) -> Result<(Vec<PublicKey>, Hint), Failure> {
        let outcome = Outcome::succeeded()
            .with("fingerprints", fingerprints(&keys))
            .with("sshfp", hint.said_of(&keys))
            .with("sshfpDnssec", hint.dnssec().as_str());
        self.audit.settle(&self.db, intent, outcome).await?;
        Ok((keys, hint))
    }
}
