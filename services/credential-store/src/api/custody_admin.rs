//! The secret store's administration over gRPC.

use crate::adapters::custody::{Health, Role, Status as State};
use crate::app::custody_admin::health::ReadHealth;
use crate::app::custody_admin::rotate_key::RotateKey;
use crate::app::custody_admin::seal::SealCustody;
use crate::app::custody_admin::status::ReadCustody;
use crate::app::custody_admin::unseal::UnsealCustody;
use keywright_domain::clock::Instant;
use keywright_domain::secret::Secret;
use keywright_proto::credential as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct CustodyAdmin {
    pub health: ReadHealth,
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
        request: Request<proto::GetSecretsHealthRequest>,
    ) -> Result<Response<proto::GetSecretsHealthResponse>, Status> {
        let (health, asked) = self.health.run(&caller(&request)?).await?;
        Ok(Response::new(proto::GetSecretsHealthResponse { health: Some(encode_health(health, asked)) }))
    }
}

fn encode_health(health: Health, asked: Instant) -> proto::SecretsHealth {
    let role = match health.role {
        Role::Active => "active",
        Role::Standby => "standby",
        Role::Unknown => "unknown",
    };
    proto::SecretsHealth {
        backend: health.kind.as_str().to_owned(),
        reachable: health.reachable,
        sealed: health.sealed,
        role: role.to_owned(),
        version: health.version,
        latency: Some(prost_types::Duration {
            seconds: i64::try_from(health.latency.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(health.latency.subsec_nanos()).unwrap_or_default(),
        }),
        checked_at: Some(timestamp(asked)),
        message: health.message.to_owned(),
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
