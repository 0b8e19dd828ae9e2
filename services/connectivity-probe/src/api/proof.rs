//! Receipts and scans for Keywright's own services.

use crate::api::host_key;
use crate::app::Receipt;
use crate::app::prove_login::{self, ProveLogin};
use crate::app::prove_offer::{self, ProveOffer};
use crate::app::scan_target::ScanTarget;
use keywright_proto::probe as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Proofs {
    pub login: ProveLogin,
    pub offer: ProveOffer,
    pub scan: ScanTarget,
}

#[tonic::async_trait]
impl proto::proof_service_server::ProofService for Proofs {
    async fn prove_login(
        &self,
        request: Request<proto::ProveLoginRequest>,
    ) -> Result<Response<proto::ProveLoginResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let claim = prove_login::Claim {
            server: request.server_id,
            credential: request.credential_id,
            version: request.version_id,
            public_key: request.public_key,
            username: request.username,
        };
        let receipt = self.login.run(&caller, claim).await?;
        let receipt = Some(encode(receipt, proto::ProofMethod::Login));
        Ok(Response::new(proto::ProveLoginResponse { receipt }))
    }

    async fn prove_offer(
        &self,
        request: Request<proto::ProveOfferRequest>,
    ) -> Result<Response<proto::ProveOfferResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let claim = prove_offer::Claim {
            server: request.server_id,
            public_key: request.public_key,
            username: request.username,
        };
        let receipt = self.offer.run(&caller, claim).await?;
        let receipt = Some(encode(receipt, proto::ProofMethod::Offer));
        Ok(Response::new(proto::ProveOfferResponse { receipt }))
    }

    async fn scan_target(
        &self,
        request: Request<proto::ScanTargetRequest>,
    ) -> Result<Response<proto::ScanTargetResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (scan, hint) = self.scan.run(&caller, &request.host, request.port, &request.jump_host_id).await?;
        Ok(Response::new(proto::ScanTargetResponse {
            items: scan.keys.iter().map(|key| host_key::encode(key, false, &hint)).collect(),
            server_version: scan.server_version,
            dnssec: host_key::dnssec(&hint).into(),
        }))
    }
}

fn encode(receipt: Receipt, method: proto::ProofMethod) -> proto::Receipt {
    let shown = receipt.shown;
    proto::Receipt {
        method: method.into(),
        accepted: shown.accepted,
        proven_at: Some(timestamp(receipt.proven_at)),
        host_key: shown.host_key.to_string(),
        source_port: i32::from(shown.source_port),
        address: shown.address.ip().to_string(),
        server_version: shown.server_version,
    }
}
