//! Scans the host keys of an address, for credential-store. Nothing is trusted by this.

use crate::adapters::prober::Prober;
use crate::adapters::route::Routes;
use crate::adapters::sshfp::Sshfp;
use crate::sshfp::Hint;
use keywright_domain::caller::Caller;
use keywright_domain::host::{HostName, Port};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_ssh::{Scanned, Target};
use tracing::instrument;

pub struct ScanTarget {
    pub guard: Guard,
    pub routes: Routes,
    pub prober: Prober,
    pub sshfp: Sshfp,
}

impl ScanTarget {
    #[instrument(skip_all)]
    pub async fn run(
        &self,
        caller: &Caller,
        host: &str,
        port: i32,
        jump_host: &str,
    ) -> Result<(Scanned, Hint), Failure> {
        let tenant = caller.principal.tenant.as_ref();
        self.guard.allow(caller, "proof.scan", tenant, "", Reason::ServerNotFound).await?;
        let host = HostName::parse(host).map_err(|bad| Failure::violation("host", bad.to_string()))?;
        let port =
            Port::try_from(i64::from(port)).map_err(|bad| Failure::violation("port", bad.to_string()))?;
        let target = Target::new(host.as_str(), port.get());
        let scan = async { self.prober.scan(&self.routes.to_target(caller, target, jump_host).await?).await };
        self.sshfp.beside(host.as_str(), scan).await
    }
}
