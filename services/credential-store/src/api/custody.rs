//! Signatures and managed versions over gRPC, and the release of a download, which only key-lifecycle can reach.

use super::credential::bits;
use crate::app::custody::create_managed::{CreateManaged, NewManaged};
use crate::app::custody::generate::GenerateVersion;
use crate::app::custody::read::ReadManaged;
use crate::app::custody::register::RegisterVersion;
use crate::app::custody::release::{Release, ReleaseVersion};
use crate::app::custody::set_state::{Move, SetVersionState};
use crate::app::custody::sign::{Login, SignUserauth};
use crate::domain::version::{Origin, State, Version};
use keywright_domain::secret::Secret;
use keywright_proto::credential as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use tonic::{Request, Response, Status};

pub struct Keys {
    pub sign: SignUserauth,
    pub create: CreateManaged,
    pub generate: GenerateVersion,
    pub register: RegisterVersion,
    pub set_state: SetVersionState,
    pub read: ReadManaged,
}

#[tonic::async_trait]
impl proto::custody_service_server::CustodyService for Keys {
    async fn sign_userauth(
        &self,
        request: Request<proto::SignUserauthRequest>,
    ) -> Result<Response<proto::SignUserauthResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let login = Login {
            credential_id: request.credential_id,
            version_id: request.version_id,
            server_id: request.server_id,
            session_id: request.session_id,
            username: request.username,
            algorithm: request.algorithm,
            towards_server_id: request.towards_server_id,
            certificate: request.certificate,
        };
        let signature = self.sign.run(&caller, login).await?;
        Ok(Response::new(proto::SignUserauthResponse { signature }))
    }

    async fn create_managed_credential(
        &self,
        request: Request<proto::CreateManagedCredentialRequest>,
    ) -> Result<Response<proto::CreateManagedCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let new = NewManaged {
            credential_id: request.credential_id,
            tenant_id: request.tenant_id,
            name: request.name,
            owner: request.owner,
        };
        self.create.run(&caller, new).await?;
        Ok(Response::new(proto::CreateManagedCredentialResponse {}))
    }

    async fn generate_version(
        &self,
        request: Request<proto::GenerateVersionRequest>,
    ) -> Result<Response<proto::GenerateVersionResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let version = self
            .generate
            .run(&caller, &request.credential_id, &request.version_id, &request.algorithm)
            .await?;
        Ok(Response::new(proto::GenerateVersionResponse { version: Some(encode(&version)) }))
    }

    async fn set_version_state(
        &self,
        request: Request<proto::SetVersionStateRequest>,
    ) -> Result<Response<proto::SetVersionStateResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = Move {
            state: decode_state(request.state())?,
            destroy: request.destroy_material,
            compromised: request.compromised,
        };
        let version =
            self.set_state.run(&caller, &request.credential_id, &request.version_id, wanted).await?;
        Ok(Response::new(proto::SetVersionStateResponse { version: Some(encode(&version)) }))
    }

    async fn get_managed_credential(
        &self,
        request: Request<proto::GetManagedCredentialRequest>,
    ) -> Result<Response<proto::GetManagedCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let (credential, versions) = self.read.run(&caller, &request.into_inner().credential_id).await?;
        Ok(Response::new(proto::GetManagedCredentialResponse {
            credential_id: credential.id.to_string(),
            owner: credential.owner.unwrap_or_default(),
            tenant_id: credential.tenant.map(String::from).unwrap_or_default(),
            versions: versions.iter().map(encode).collect(),
        }))
    }

    async fn register_version(
        &self,
        request: Request<proto::RegisterVersionRequest>,
    ) -> Result<Response<proto::RegisterVersionResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let version =
            self.register.run(&caller, &asked.credential_id, &asked.version_id, &asked.public_key).await?;
        Ok(Response::new(proto::RegisterVersionResponse { version: Some(encode(&version)) }))
    }
}

pub struct Releases {
    pub release: ReleaseVersion,
}

#[tonic::async_trait]
impl proto::release_service_server::ReleaseService for Releases {
    async fn release_version(
        &self,
        request: Request<proto::ReleaseVersionRequest>,
    ) -> Result<Response<proto::ReleaseVersionResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let release = Release {
            credential_id: request.credential_id,
            version_id: request.version_id,
            format: request.format,
            passphrase: Secret::from_text(request.passphrase),
        };
        let file = self.release.run(&caller, release).await?;
        Ok(Response::new(proto::ReleaseVersionResponse { file: file.expose().to_vec() }))
    }
}

fn decode_state(state: proto::VersionState) -> Result<State, Failure> {
    Ok(match state {
        proto::VersionState::Staged => State::Staged,
        proto::VersionState::Active => State::Active,
        proto::VersionState::Grace => State::Grace,
        proto::VersionState::Retired => State::Retired,
        proto::VersionState::Revoked => State::Revoked,
        proto::VersionState::Failed => State::Failed,
        proto::VersionState::Unspecified => {
            return Err(Failure::violation("state", "must be a state of a version"));
        }
    })
}

fn encode(version: &Version) -> proto::CredentialVersion {
    let state = match version.state {
        State::Staged => proto::VersionState::Staged,
        State::Active => proto::VersionState::Active,
        State::Grace => proto::VersionState::Grace,
        State::Retired => proto::VersionState::Retired,
        State::Revoked => proto::VersionState::Revoked,
        State::Failed => proto::VersionState::Failed,
    };
    proto::CredentialVersion {
        id: version.id.to_string(),
        number: version.number,
        state: state.into(),
        public_key: version.public.openssh(),
        fingerprint: version.public.fingerprint().to_string(),
        algorithm: version.public.algorithm().to_string(),
        bits: bits(&version.public),
        compromised: version.compromised_at.is_some(),
        material_destroyed: version.destroyed_at.is_some(),
        created_at: Some(timestamp(version.created_at)),
        client_made: version.origin == Origin::Client,
    }
}
