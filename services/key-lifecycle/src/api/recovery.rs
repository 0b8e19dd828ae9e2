//! The state after a restore.

use super::{number, optional};
use crate::app::recover::{Recover, RecoveryView};
use crate::model::{Finding, Recovery, RecoveryLine};
use crate::recovery::Asked;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::recovery_service_server::RecoveryService;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

/// An answer has at most this many lines, those that differ first; the counts are of all.
const MOST_LINES: usize = 5_000;

#[derive(Clone)]
pub struct Recoveries {
    pub recover: Recover,
}

#[tonic::async_trait]
impl RecoveryService for Recoveries {
    async fn get_recovery(
        &self,
        request: Request<proto::GetRecoveryRequest>,
    ) -> Result<Response<proto::GetRecoveryResponse>, Status> {
        let view = self.recover.read(&caller(&request)?).await?;
        Ok(Response::new(proto::GetRecoveryResponse { recovery: Some(recovery(&view)) }))
    }

    async fn probe_recovery(
        &self,
        request: Request<proto::ProbeRecoveryRequest>,
    ) -> Result<Response<proto::ProbeRecoveryResponse>, Status> {
        let view = self.recover.probe(&caller(&request)?).await?;
        Ok(Response::new(proto::ProbeRecoveryResponse { recovery: Some(recovery(&view)) }))
    }

    async fn complete_recovery(
        &self,
        request: Request<proto::CompleteRecoveryRequest>,
    ) -> Result<Response<proto::CompleteRecoveryResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let asked = Asked {
            target_count: asked.confirmation.map(|confirmation| confirmation.target_count),
            restore_lines: asked.restore_lines,
        };
        let view = self.recover.complete(&caller, asked).await?;
        Ok(Response::new(proto::CompleteRecoveryResponse { recovery: Some(recovery(&view)) }))
    }
}

fn recovery(view: &RecoveryView) -> proto::Recovery {
    let count = |finding| i32::try_from(view.count(finding)).unwrap_or(i32::MAX);
    let mut lines: Vec<&RecoveryLine> = view.lines.iter().collect();
    lines.sort_by_key(|line| line.finding() == Finding::AsRecorded);
    let at = view.recovery.as_ref();
    proto::Recovery {
        active: at.is_some_and(Recovery::is_active),
        backup_taken_at: optional(at.map(|at| at.backup_taken_at)),
        restored_at: optional(at.map(|at| at.restored_at)),
        probed_at: optional(at.and_then(|at| at.probed_at)),
        completed_at: optional(at.and_then(|at| at.completed_at)),
        lines: lines.into_iter().take(MOST_LINES).map(line).collect(),
        as_recorded: count(Finding::AsRecorded),
        missing: count(Finding::Missing),
        unexpected: count(Finding::Unexpected),
        unreachable: count(Finding::Unreachable),
    }
}

fn line(line: &RecoveryLine) -> proto::RecoveryLine {
    let finding = match line.finding() {
        Finding::Unprobed => proto::RecoveryFinding::Unprobed,
        Finding::AsRecorded => proto::RecoveryFinding::AsRecorded,
        Finding::Missing => proto::RecoveryFinding::Missing,
        Finding::Unexpected => proto::RecoveryFinding::Unexpected,
        Finding::Unreachable => proto::RecoveryFinding::Unreachable,
    };
    proto::RecoveryLine {
        line_id: line.id.clone(),
        owner: line.owner.clone(),
        server_id: line.server.to_string(),
        version: number(line.number),
        fingerprint: line.public_key.fingerprint().to_string(),
        recorded_state: line.recorded_state.clone(),
        finding: finding.into(),
        detail: line.detail.clone(),
        probed_at: optional(line.probed_at),
    }
}
