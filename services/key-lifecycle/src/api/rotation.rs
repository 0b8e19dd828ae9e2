//! Rotations and revocations.

use super::key_use::key_uses;
use super::{number, optional};
use crate::app::read_work::ReadWork;
use crate::app::view::{RevocationView, RotationView};
use crate::model::{
    LineState, Receipt, RevocationHost, RevocationState, RotationKind, RotationState, Step, StepState,
};
use keywright_domain::ids::{CampaignId, ServerId};
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::rotation_service_server::RotationService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::watch::{Snapshots, watch};
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Rotations {
    pub read: ReadWork,
}

#[tonic::async_trait]
impl RotationService for Rotations {
    async fn get_rotation(
        &self,
        request: Request<proto::GetRotationRequest>,
    ) -> Result<Response<proto::GetRotationResponse>, Status> {
        let id = self.read.authorize_rotation(&caller(&request)?, &request.get_ref().rotation_id).await?;
        let rotation = Some(rotation(&self.read.rotation(&id).await?));
        Ok(Response::new(proto::GetRotationResponse { rotation }))
    }

    type WatchRotationStream = Snapshots<proto::WatchRotationResponse>;

    async fn watch_rotation(
        &self,
        request: Request<proto::WatchRotationRequest>,
    ) -> Result<Response<Self::WatchRotationStream>, Status> {
        let id = self.read.authorize_rotation(&caller(&request)?, &request.get_ref().rotation_id).await?;
        let read = self.read.clone();
        let look = move || {
            let (read, id) = (read.clone(), id.clone());
            async move { read.rotation(&id).await }
        };
        let ended = |view: &RotationView| view.rotation.state.is_final();
        let encode = |view: &RotationView| proto::WatchRotationResponse { rotation: Some(rotation(view)) };
        Ok(Response::new(watch(look, ended, encode)))
    }

    async fn get_revocation(
        &self,
        request: Request<proto::GetRevocationRequest>,
    ) -> Result<Response<proto::GetRevocationResponse>, Status> {
        let id = self.read.authorize_revocation(&caller(&request)?, &request.get_ref().revocation_id).await?;
        let revocation = Some(revocation(&self.read.revocation(&id).await?));
        Ok(Response::new(proto::GetRevocationResponse { revocation }))
    }

    type WatchRevocationStream = Snapshots<proto::WatchRevocationResponse>;

    async fn watch_revocation(
        &self,
        request: Request<proto::WatchRevocationRequest>,
    ) -> Result<Response<Self::WatchRevocationStream>, Status> {
        let id = self.read.authorize_revocation(&caller(&request)?, &request.get_ref().revocation_id).await?;
        let read = self.read.clone();
        let look = move || {
            let (read, id) = (read.clone(), id.clone());
            async move { read.revocation(&id).await }
        };
        let ended = |view: &RevocationView| view.revocation.state == RevocationState::Succeeded;
        let encode =
            |view: &RevocationView| proto::WatchRevocationResponse { revocation: Some(revocation(view)) };
        Ok(Response::new(watch(look, ended, encode)))
    }
}

pub fn rotation(view: &RotationView) -> proto::Rotation {
    let rotation = &view.rotation;
    proto::Rotation {
        id: rotation.id.to_string(),
        tenant_id: rotation.tenant.to_string(),
        access_id: rotation.access.to_string(),
        kind: kind(rotation.kind).into(),
        state: state(rotation.state).into(),
        steps: view.steps.iter().map(step).collect(),
        old_version: number(view.old_number),
        new_version: number(view.new_number),
        new_fingerprint: view.new_fingerprint.clone(),
        started_at: Some(timestamp(rotation.created_at)),
        promoted_at: optional(rotation.promoted_at),
        grace_ends_at: optional(rotation.grace_ends_at),
        grace_ended_at: optional(rotation.grace_ended_at),
        finished_at: optional(rotation.finished_at),
        reason: rotation.reason.clone(),
        message: rotation.message.clone(),
        comment: rotation.comment.clone(),
        automatic: rotation.automatic,
        campaign_id: rotation.campaign.as_ref().map(CampaignId::to_string).unwrap_or_default(),
        server_id: rotation.server.as_ref().map(ServerId::to_string).unwrap_or_default(),
        outstanding_server_ids: view.outstanding().map(ServerId::to_string).collect(),
        grace_extended_at: optional(rotation.grace_extended_at),
        old_key_uses: key_uses(&view.old_uses, view.old_key.as_slice()),
    }
}

fn step(step: &Step) -> proto::RotationStep {
    proto::RotationStep {
        name: step.name.as_str().to_owned(),
        server_id: step.server.as_ref().map(ServerId::to_string).unwrap_or_default(),
        state: match step.state {
            StepState::Pending => proto::StepState::Pending,
            StepState::Started => proto::StepState::Started,
            StepState::Done => proto::StepState::Done,
            StepState::Failed => proto::StepState::Failed,
            StepState::Undone => proto::StepState::Undone,
        }
        .into(),
        started_at: optional(step.started_at),
        finished_at: optional(step.finished_at),
        reason: step.reason.clone(),
        message: step.message.clone(),
        attempts: number(step.attempts),
    }
}

pub fn receipt(receipt: &Receipt) -> proto::HostReceipt {
    proto::HostReceipt {
        method: receipt.method.clone(),
        accepted: receipt.accepted,
        proven_at: Some(timestamp(receipt.proven_at())),
        host_key: receipt.host_key.clone(),
        source_port: receipt.source_port,
    }
}

pub fn revocation(view: &RevocationView) -> proto::Revocation {
    let revocation = &view.revocation;
    proto::Revocation {
        id: revocation.id.to_string(),
        tenant_id: revocation.tenant.to_string(),
        access_id: revocation.access.to_string(),
        state: match revocation.state {
            RevocationState::Running => proto::RevocationState::Running,
            RevocationState::Succeeded => proto::RevocationState::Succeeded,
        }
        .into(),
        compromised: revocation.compromised,
        requested_at: Some(timestamp(revocation.requested_at)),
        finished_at: optional(revocation.finished_at),
        hosts: view.hosts.iter().map(|host| revocation_host(view, host)).collect(),
        comment: revocation.comment.clone(),
    }
}

fn revocation_host(view: &RevocationView, host: &RevocationHost) -> proto::RevocationHost {
    let state = if host.proven_at.is_some() { LineState::RemovedProven } else { LineState::RemovalPending };
    proto::RevocationHost {
        server_id: host.server.to_string(),
        server_name: host.server_name.clone(),
        state: state.as_str().to_owned(),
        proven_at: optional(host.proven_at),
        exposed_minutes: host.exposed_minutes(view.revocation.requested_at, view.now),
        sessions_ended: host.sessions_ended.clone(),
        remaining_processes: host.processes.clone(),
        crontabs: host.crontabs.clone(),
        residual_access: host.residual.clone(),
        reason: host.reason.clone(),
        attempts: number(host.attempts),
    }
}

const fn kind(kind: RotationKind) -> proto::RotationKind {
    match kind {
        RotationKind::Provision => proto::RotationKind::Provision,
        RotationKind::Rotate => proto::RotationKind::Rotate,
        RotationKind::Regenerate => proto::RotationKind::Regenerate,
        RotationKind::AddHost => proto::RotationKind::AddHost,
        RotationKind::RemoveHost => proto::RotationKind::RemoveHost,
    }
}

const fn state(state: RotationState) -> proto::RotationState {
    match state {
        RotationState::Running => proto::RotationState::Running,
        RotationState::Converging => proto::RotationState::Converging,
        RotationState::Succeeded => proto::RotationState::Succeeded,
        RotationState::Failed => proto::RotationState::Failed,
        RotationState::Superseded => proto::RotationState::Superseded,
        RotationState::Stuck => proto::RotationState::Stuck,
    }
}
