//! Host keys as servers show them.

use crate::app::scan_server::ScanServer;
use keywright_domain::key::PublicKey;
use keywright_proto::probe as proto;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct HostKeyScans {
    pub scan: ScanServer,
}

#[tonic::async_trait]
impl proto::host_key_scan_service_server::HostKeyScanService for HostKeyScans {
    async fn scan_host_keys(
        &self,
        request: Request<proto::ScanHostKeysRequest>,
    ) -> Result<Response<proto::ScanHostKeysResponse>, Status> {
        let caller = caller(&request)?;
        let keys = self.scan.run(&caller, &request.into_inner().server_id).await?;
        let items = keys.iter().map(|scanned| encode(&scanned.key, scanned.pinned)).collect();
        Ok(Response::new(proto::ScanHostKeysResponse { items }))
    }
}

pub fn encode(key: &PublicKey, pinned: bool) -> proto::ScannedHostKey {
    proto::ScannedHostKey {
        algorithm: key.algorithm().to_string(),
        fingerprint: key.fingerprint().to_string(),
        public_key: key.openssh(),
        pinned,
    }
}
