//! The secret store's administration over gRPC.

use crate::adapters::custody::Status as State;
use crate::app::custody_admin::rotate_key::RotateKey;
use crate::app::custody_admin::seal::SealCustody;
use crate::app::custody_admin::status::ReadCustody;
use crate::app::custody_admin::unseal::UnsealCustody;
use keywright_domain::secret::Secret;
use keywright_proto::credential as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct CustodyAdmin {
    pub status: ReadCustody,
    pub unseal: UnsealCustody,
    pub seal: SealCustody,
    pub rotate: RotateKey,
}

#[tonic::async_trait]
impl proto::custody_admin_service_server::CustodyAdminService for CustodyAdmin {
    async fn get_custody_status(
        &self,
        request: Request<proto::GetCustodyStatusRequest>,
    ) -> Result<Response<proto::GetCustodyStatusResponse>, Status> {
        let status = Some(encode(self.status.run(&caller(&request)?).await?));
        Ok(Response::new(proto::GetCustodyStatusResponse { status }))
    }

    async fn unseal_custody(
        &self,
        request: Request<proto::UnsealCustodyRequest>,
    ) -> Result<Response<proto::UnsealCustodyResponse>, Status> {
        let caller = caller(&request)?;
        let passphrase = Secret::from_text(request.into_inner().passphrase);
        let status = Some(encode(self.unseal.run(&caller, passphrase).await?));
        Ok(Response::new(proto::UnsealCustodyResponse { status }))
    }

    async fn seal_custody(
        &self,
        request: Request<proto::SealCustodyRequest>,
    ) -> Result<Response<proto::SealCustodyResponse>, Status> {
        let status = Some(encode(self.seal.run(&caller(&request)?).await?));
        Ok(Response::new(proto::SealCustodyResponse { status }))
    }

    async fn rotate_key_encryption_key(
        &self,
        request: Request<proto::RotateKeyEncryptionKeyRequest>,
    ) -> Result<Response<proto::RotateKeyEncryptionKeyResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (present, new) =
            (Secret::from_text(request.passphrase), Secret::from_text(request.new_passphrase));
        let status = Some(encode(self.rotate.run(&caller, present, new).await?));
        Ok(Response::new(proto::RotateKeyEncryptionKeyResponse { status }))
    }

    async fn get_secrets_health(
        &self,
        _: Request<proto::GetSecretsHealthRequest>,
    ) -> Result<Response<proto::GetSecretsHealthResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}

fn encode(state: State) -> proto::CustodyStatus {
    let count = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
    proto::CustodyStatus {
        backend: state.kind.as_str().to_owned(),
        sealed: state.sealed,
        key_source: state.key_source.to_owned(),
        key_id: state.key_id,
        key_created_at: state.key_created_at.map(timestamp),
        data_keys: count(state.data_keys),
        data_keys_outstanding: count(state.outstanding),
    }
}
