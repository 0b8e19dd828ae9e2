//! Accesses.

use super::key_use::key_uses;
use super::rotation::{receipt, revocation, rotation};
use super::{number, optional};
use crate::app::acknowledge_download::AcknowledgeDownload;
use crate::app::add_host::{Add, AddHost};
use crate::app::deprovision::{Deprovision, DeprovisionAccess};
use crate::app::download_key::{Download, DownloadKey, Format, KeyFile};
use crate::app::list_access::ListAccess;
use crate::app::possession::{CreateChallenge, NAMESPACE, Offered};
use crate::app::provision_access::{Provision, ProvisionAccess};
use crate::app::read_key_use::ReadKeyUse;
use crate::app::read_work::ReadWork;
use crate::app::regenerate_key::{Regenerate, RegenerateKey};
use crate::app::remove_host::{Remove, RemoveHost};
use crate::app::revoke_access::{Revoke, RevokeAccess};
use crate::app::start_rotation::{Rotate, StartRotation};
use crate::app::view::{AccessView, Activity, DownloadState, Due, Status as AccessStatus, fingerprint};
use crate::app::view_access::ViewAccess;
use crate::model::{Challenge, Enforcer, Host, Line, LineState, Version};
use keywright_domain::key::PublicKey;
use keywright_domain::secret::Secret;
use keywright_proto::google::api::HttpBody;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::ssh_access_service_server::SshAccessService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use keywright_runtime::idempotency::{Idempotency, once};
use keywright_storage::idempotency::Scope;
use std::time::Duration;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Accesses {
    pub provision: ProvisionAccess,
    pub list: ListAccess,
    pub view: ViewAccess,
    pub download: DownloadKey,
    pub acknowledge: AcknowledgeDownload,
    pub rotate: StartRotation,
    pub revoke: RevokeAccess,
    pub regenerate: RegenerateKey,
    pub add_host: AddHost,
    pub remove_host: RemoveHost,
    pub deprovision: DeprovisionAccess,
    pub read: ReadWork,
    pub key_use: ReadKeyUse,
    pub challenge: CreateChallenge,
    pub idempotency: Idempotency,
}

#[tonic::async_trait]
impl SshAccessService for Accesses {
    async fn provision_ssh_access(
        &self,
        request: Request<proto::ProvisionSshAccessRequest>,
    ) -> Result<Response<proto::ProvisionSshAccessResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let scope = self.idempotency.scope(&caller, "ProvisionSshAccess", &asked.idempotency_key, &asked);
        let asked = Provision {
            tenant: asked.tenant_id,
            servers: asked.server_ids,
            account: asked.account,
            create_account: asked.create_account,
            algorithm: asked.key_algorithm,
            offered: offered(asked.public_key, asked.challenge_id, asked.signature),
            scope,
        };
        let (begun, db) = (claimed(&asked.scope), &self.provision.db);
        let id = once(db, begun.as_ref(), self.provision.run(&caller, asked)).await?;
        let access = Some(access(&self.view.after(&caller, &id).await?));
        Ok(Response::new(proto::ProvisionSshAccessResponse { access }))
    }

    async fn list_ssh_access(
        &self,
        request: Request<proto::ListSshAccessRequest>,
    ) -> Result<Response<proto::ListSshAccessResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let (views, next) =
            self.list.run(&caller, &asked.tenant_id, asked.page_size, &asked.page_token).await?;
        let items = views.iter().map(access).collect();
        Ok(Response::new(proto::ListSshAccessResponse { items, next_page_token: next }))
    }

    async fn get_ssh_access(
        &self,
        request: Request<proto::GetSshAccessRequest>,
    ) -> Result<Response<proto::GetSshAccessResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let view = self.view.run(&caller, &asked.tenant_id, &asked.access_id).await?;
        Ok(Response::new(proto::GetSshAccessResponse { access: Some(access(&view)) }))
    }

    async fn download_ssh_key(
        &self,
        request: Request<proto::DownloadSshKeyRequest>,
    ) -> Result<Response<proto::DownloadSshKeyResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let asked = Download {
            tenant: asked.tenant_id,
            access: asked.access_id,
            confirmation: typed(asked.confirmation),
            format: asked.format,
            passphrase: Secret::from_text(asked.passphrase),
            claim: asked.claim_id,
        };
        Ok(Response::new(file(&self.download.run(&caller, asked).await?)))
    }

    async fn acknowledge_download(
        &self,
        request: Request<proto::AcknowledgeDownloadRequest>,
    ) -> Result<Response<proto::AcknowledgeDownloadResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        self.acknowledge.run(&caller, &asked.tenant_id, &asked.access_id, &asked.claim_id).await?;
        Ok(Response::new(proto::AcknowledgeDownloadResponse {}))
    }

    async fn rotate_ssh_key(
        &self,
        request: Request<proto::RotateSshKeyRequest>,
    ) -> Result<Response<proto::RotateSshKeyResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let scope = self.idempotency.scope(&caller, "RotateSshKey", &asked.idempotency_key, &asked);
        let asked = Rotate {
            tenant: asked.tenant_id,
            access: asked.access_id,
            confirmation: typed(asked.confirmation),
            grace: grace(asked.grace_period),
            drop_grace_key: asked.drop_grace_key,
            comment: asked.reason,
            offered: offered(asked.public_key, asked.challenge_id, asked.signature),
            scope,
        };
        let (begun, db) = (claimed(&asked.scope), &self.rotate.db);
        let id = once(db, begun.as_ref(), self.rotate.run(&caller, asked)).await?;
        let rotation = Some(rotation(&self.read.rotation(&id).await?));
        Ok(Response::new(proto::RotateSshKeyResponse { rotation }))
    }

    async fn revoke_ssh_access(
        &self,
        request: Request<proto::RevokeSshAccessRequest>,
    ) -> Result<Response<proto::RevokeSshAccessResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let asked = Revoke {
            tenant: asked.tenant_id,
            access: asked.access_id,
            confirmation: typed(asked.confirmation),
            compromised: asked.compromised,
            end_all_sessions: asked.end_all_sessions,
            keep_sessions: asked.keep_sessions,
            comment: asked.reason,
        };
        let id = self.revoke.run(&caller, asked).await?;
        let revocation = Some(revocation(&self.read.revocation(&id).await?));
        Ok(Response::new(proto::RevokeSshAccessResponse { revocation }))
    }

    async fn regenerate_ssh_key(
        &self,
        request: Request<proto::RegenerateSshKeyRequest>,
    ) -> Result<Response<proto::RegenerateSshKeyResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let scope = self.idempotency.scope(&caller, "RegenerateSshKey", &asked.idempotency_key, &asked);
        let asked = Regenerate {
            tenant: asked.tenant_id,
            access: asked.access_id,
            confirmation: typed(asked.confirmation),
            comment: asked.reason,
            offered: offered(asked.public_key, asked.challenge_id, asked.signature),
            scope,
        };
        let (begun, db) = (claimed(&asked.scope), &self.regenerate.db);
        let id = once(db, begun.as_ref(), self.regenerate.run(&caller, asked)).await?;
        let rotation = Some(rotation(&self.read.rotation(&id).await?));
        Ok(Response::new(proto::RegenerateSshKeyResponse { rotation }))
    }

    async fn create_key_challenge(
        &self,
        request: Request<proto::CreateKeyChallengeRequest>,
    ) -> Result<Response<proto::CreateKeyChallengeResponse>, Status> {
        let challenge = self.challenge.run(&caller(&request)?, &request.get_ref().tenant_id).await?;
        Ok(Response::new(proto::CreateKeyChallengeResponse { challenge: Some(key_challenge(challenge)) }))
    }

    async fn add_access_host(
        &self,
        request: Request<proto::AddAccessHostRequest>,
    ) -> Result<Response<proto::AddAccessHostResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let scope = self.idempotency.scope(&caller, "AddAccessHost", &asked.idempotency_key, &asked);
        let asked = Add {
            tenant: asked.tenant_id,
            access: asked.access_id,
            server: asked.server_id,
            create_account: asked.create_account,
            comment: asked.reason,
            scope,
        };
        let (begun, db) = (claimed(&asked.scope), &self.add_host.db);
        let id = once(db, begun.as_ref(), self.add_host.run(&caller, asked)).await?;
        let rotation = Some(rotation(&self.read.rotation(&id).await?));
        Ok(Response::new(proto::AddAccessHostResponse { rotation }))
    }

    async fn remove_access_host(
        &self,
        request: Request<proto::RemoveAccessHostRequest>,
    ) -> Result<Response<proto::RemoveAccessHostResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let scope = self.idempotency.scope(&caller, "RemoveAccessHost", &asked.idempotency_key, &asked);
        let asked = Remove {
            tenant: asked.tenant_id,
            access: asked.access_id,
            server: asked.server_id,
            confirmation: typed(asked.confirmation),
            comment: asked.reason,
            scope,
        };
        let (begun, db) = (claimed(&asked.scope), &self.remove_host.db);
        let id = once(db, begun.as_ref(), self.remove_host.run(&caller, asked)).await?;
        let rotation = Some(rotation(&self.read.rotation(&id).await?));
        Ok(Response::new(proto::RemoveAccessHostResponse { rotation }))
    }

    async fn deprovision_ssh_access(
        &self,
        request: Request<proto::DeprovisionSshAccessRequest>,
    ) -> Result<Response<proto::DeprovisionSshAccessResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let asked = Deprovision {
            tenant: asked.tenant_id,
            access: asked.access_id,
            confirmation: typed(asked.confirmation),
            comment: asked.reason,
        };
        let id = self.deprovision.run(&caller, asked).await?;
        let revocation = Some(revocation(&self.read.revocation(&id).await?));
        Ok(Response::new(proto::DeprovisionSshAccessResponse { revocation }))
    }

    async fn read_key_use(
        &self,
        request: Request<proto::ReadKeyUseRequest>,
    ) -> Result<Response<proto::ReadKeyUseResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let (uses, versions) = self.key_use.run(&caller, &asked.tenant_id, &asked.access_id).await?;
        Ok(Response::new(proto::ReadKeyUseResponse { items: key_uses(&uses, &versions) }))
    }
}

fn offered(public_key: String, challenge: String, signature: String) -> Offered {
    Offered { public_key, challenge, signature }
}

fn key_challenge(challenge: Challenge) -> proto::KeyChallenge {
    proto::KeyChallenge {
        command: format!("printf %s {} | ssh-keygen -Y sign -n {NAMESPACE} -f KEYFILE", challenge.nonce),
        id: challenge.id.to_string(),
        nonce: challenge.nonce,
        namespace: NAMESPACE.to_owned(),
        expires_at: Some(timestamp(challenge.expires_at)),
    }
}

/// A key that cannot be one is refused in its turn.
fn claimed(scope: &Result<Option<Scope>, Failure>) -> Option<Scope> {
    scope.as_ref().ok().cloned().flatten()
}

fn typed(confirmation: Option<proto::AccessConfirmation>) -> Option<String> {
    confirmation.map(|confirmation| confirmation.access_id)
}

pub(super) fn grace(asked: Option<prost_types::Duration>) -> Result<Option<Duration>, Failure> {
    let bad = |_| Failure::violation("gracePeriod", "must be from 0 to 7 days");
    asked.map(Duration::try_from).transpose().map_err(bad)
}

fn file(file: &KeyFile) -> proto::DownloadSshKeyResponse {
    let content_type = match file.format {
        Format::OpenSsh | Format::Pem => "application/x-pem-file",
        Format::Ppk => "application/x-putty-private-key",
    };
    proto::DownloadSshKeyResponse {
        file: Some(HttpBody {
            content_type: content_type.to_owned(),
            data: file.bytes.expose().to_vec(),
            extensions: Vec::new(),
        }),
        claim_id: file.claim.to_string(),
    }
}

pub(super) fn access(view: &AccessView) -> proto::SshAccess {
    let active = view.active();
    let recent: Vec<proto::Rotation> = view.rotations.iter().map(rotation).collect();
    proto::SshAccess {
        id: view.access.id.to_string(),
        tenant_id: view.access.tenant.to_string(),
        account: view.access.account.to_string(),
        credential_id: view.access.credential.to_string(),
        status: status(view.status()).into(),
        activity: activity(view.activity()).into(),
        due: due(view.due()).into(),
        grace_ends_at: optional(view.grace_ends_at()),
        algorithm: active
            .and_then(|version| version.public_key.as_ref())
            .map_or(view.access.algorithm, PublicKey::algorithm)
            .as_str()
            .to_owned(),
        fingerprint: active.map(fingerprint).unwrap_or_default(),
        public_key: active
            .and_then(|version| version.public_key.as_ref())
            .map(PublicKey::openssh)
            .unwrap_or_default(),
        version: active.map_or(0, |version| number(version.number)),
        created_at: Some(timestamp(view.access.created_at)),
        last_rotated_at: optional(active.and_then(|version| version.promoted_at)),
        next_rotation_at: optional(view.next_rotation_at()),
        download: download(view.download()).into(),
        hosts: view.hosts.iter().map(|one| host(view, one)).collect(),
        ssh_command: view.first_ssh_command(),
        tips: view.tips(),
        recent_rotations: recent,
        revocation_id: view.revocation.as_ref().map(|last| last.id.to_string()).unwrap_or_default(),
        revision: view.access.revision.to_string(),
        uses: live_uses(view),
        client_made: active.is_some_and(Version::is_client_made),
        deprovisioned_at: optional(view.access.deprovisioned_at),
    }
}

/// Of the keys that may still open something.
fn live_uses(view: &AccessView) -> Vec<proto::KeyUse> {
    let live: Vec<Version> =
        view.versions.iter().filter(|version| version.state.is_live()).cloned().collect();
    key_uses(&view.uses, &live)
}

fn host(view: &AccessView, host: &Host) -> proto::AccessHost {
    proto::AccessHost {
        server_id: host.server.to_string(),
        server_name: host.name.clone(),
        host: host.host.clone(),
        port: i32::from(host.port),
        ssh_command: view.ssh_command(host),
        lines: view.lines_on(host).map(|(version, line)| host_line(version, line)).collect(),
        residual_access: host.residual.clone(),
    }
}

fn host_line(version: &Version, line: &Line) -> proto::HostLine {
    proto::HostLine {
        version: number(version.number),
        fingerprint: fingerprint(version),
        state: match line.state {
            LineState::Absent => proto::HostLineState::Absent,
            LineState::Installed => proto::HostLineState::Installed,
            LineState::Expiring => proto::HostLineState::Expiring,
            LineState::RemovalPending => proto::HostLineState::RemovalPending,
            LineState::RemovedProven => proto::HostLineState::RemovedProven,
        }
        .into(),
        receipt: line.receipt.as_ref().map(receipt),
        grace_enforced_by: line.enforced_by.map(Enforcer::as_str).unwrap_or_default().to_owned(),
    }
}

pub(super) const fn status(status: AccessStatus) -> proto::AccessStatus {
    match status {
        AccessStatus::Active => proto::AccessStatus::Active,
        AccessStatus::Expired => proto::AccessStatus::Expired,
        AccessStatus::Revoked => proto::AccessStatus::Revoked,
    }
}

const fn activity(activity: Activity) -> proto::AccessActivity {
    match activity {
        Activity::None => proto::AccessActivity::None,
        Activity::Rotating => proto::AccessActivity::Rotating,
        Activity::Grace => proto::AccessActivity::Grace,
        Activity::Converging => proto::AccessActivity::Converging,
        Activity::Revoking => proto::AccessActivity::Revoking,
    }
}

pub(super) const fn due(due: Due) -> proto::Due {
    match due {
        Due::No => proto::Due::NotDue,
        Due::Soon => proto::Due::DueSoon,
        Due::Overdue => proto::Due::Overdue,
    }
}

const fn download(state: DownloadState) -> proto::DownloadState {
    match state {
        DownloadState::Hidden => proto::DownloadState::Unspecified,
        DownloadState::None => proto::DownloadState::None,
        DownloadState::Available => proto::DownloadState::Available,
        DownloadState::Claimed => proto::DownloadState::Claimed,
        DownloadState::Downloaded => proto::DownloadState::Downloaded,
    }
}
