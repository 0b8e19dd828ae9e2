//! How Keywright's own services write the log.

use crate::app::record_intent::{Intent, RecordIntent};
use crate::app::record_outcomes::{Outcome, RecordOutcomes};
use crate::store::event::Open;
use keywright_domain::ids::EventId;
use keywright_log::leaf::Clear;
use keywright_proto::audit as proto;
use keywright_runtime::audit::instant;
use keywright_runtime::failure::Failure;
use std::collections::BTreeMap;
use tonic::{Request, Response, Status};

pub struct Intake {
    pub record_intent: RecordIntent,
    pub record_outcomes: RecordOutcomes,
}

#[tonic::async_trait]
impl proto::audit_intake_service_server::AuditIntakeService for Intake {
    async fn record_intent(
        &self,
        request: Request<proto::RecordIntentRequest>,
    ) -> Result<Response<proto::RecordIntentResponse>, Status> {
        let intent = intent(request.into_inner())?;
        let sequence = self.record_intent.run(intent).await?;
        Ok(Response::new(proto::RecordIntentResponse { sequence: sequence.to_string() }))
    }

    async fn record_outcomes(
        &self,
        request: Request<proto::RecordOutcomesRequest>,
    ) -> Result<Response<proto::RecordOutcomesResponse>, Status> {
        let outcomes = request.into_inner().outcomes;
        if outcomes.len() > 100 {
            return Err(Failure::violation("outcomes", "must be at most 100").into());
        }
        let outcomes = outcomes.into_iter().map(outcome).collect::<Result<Vec<_>, _>>()?;
        self.record_outcomes.run(outcomes).await?;
        Ok(Response::new(proto::RecordOutcomesResponse {}))
    }
}

fn intent(request: proto::RecordIntentRequest) -> Result<Intent, Failure> {
    let event = EventId::parse(&request.event_id)
        .map_err(|_| Failure::violation("eventId", "must be an event id"))?;
    if request.action.is_empty() || request.actor.is_empty() {
        return Err(Failure::violation("action", "and actor must be given"));
    }
    let spooled_at = request.spooled_at.map(instant);
    Ok(Intent {
        event,
        open: Open {
            actor_kind: text(request.actor_kind),
            tenant: text(request.tenant_id),
            action: text(request.action),
            comment: text(request.comment),
            request_id: text(request.request_id),
            trace_id: text(request.trace_id),
        },
        clear: Clear {
            actor: text(request.actor),
            source_ip: text(request.source_ip),
            user_agent: text(request.user_agent),
            target: text(request.target),
            details: details(request.details),
        },
        spooled_at,
    })
}

/// PostgreSQL holds no NUL in a text: one of them must not fail the write that others share.
fn text(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn details(details: BTreeMap<String, String>) -> BTreeMap<String, String> {
    details.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn outcome(outcome: proto::Outcome) -> Result<Outcome, Failure> {
    let word = match outcome.outcome() {
        proto::AuditOutcome::Succeeded => "succeeded",
        proto::AuditOutcome::Failed => "failed",
        proto::AuditOutcome::Denied => "denied",
        proto::AuditOutcome::Interrupted => "interrupted",
        proto::AuditOutcome::Pending | proto::AuditOutcome::Unspecified => {
            return Err(Failure::violation("outcomes.outcome", "must be an outcome"));
        }
    };
    Ok(Outcome {
        event: text(outcome.event_id),
        outcome: word,
        reason: text(outcome.reason),
        details: details(outcome.details),
    })
}
