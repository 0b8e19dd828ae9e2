//! The log, as people read it.

use super::log::file;
use crate::app::erase_subject::EraseSubject;
use crate::app::export_log::{Asked, ExportLog, Format};
use crate::app::get_event::GetEvent;
use crate::app::list_events::ListEvents;
use crate::app::watch_events::{Watch, WatchEvents};
use crate::store::event::{Event, Filter};
use keywright_proto::audit as proto;
use keywright_runtime::audit::{instant, timestamp};
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use keywright_runtime::watch::{Snapshots, follow, heard};
use tonic::{Request, Response, Status};

pub struct Events {
    pub list: ListEvents,
    pub get: GetEvent,
    pub export: ExportLog,
    pub watch: WatchEvents,
    pub erase: EraseSubject,
}

#[tonic::async_trait]
impl proto::audit_service_server::AuditService for Events {
    async fn list_audit_events(
        &self,
        request: Request<proto::ListAuditEventsRequest>,
    ) -> Result<Response<proto::ListAuditEventsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let filter = Filter {
            outcome: outcome_word(request.outcome()).to_owned(),
            tenant: request.tenant_id,
            actor: request.actor,
            action: request.action,
            target: request.target,
            from: request.from.map(instant),
            until: request.until.map(instant),
            text: request.text,
        };
        let (events, next_page_token) =
            self.list.run(&caller, filter, request.page_size, &request.page_token).await?;
        let items = events.into_iter().map(encode).collect();
        Ok(Response::new(proto::ListAuditEventsResponse { items, next_page_token }))
    }

    async fn get_audit_event(
        &self,
        request: Request<proto::GetAuditEventRequest>,
    ) -> Result<Response<proto::GetAuditEventResponse>, Status> {
        let caller = caller(&request)?;
        let event = self.get.run(&caller, &request.into_inner().event_id).await?;
        Ok(Response::new(proto::GetAuditEventResponse { event: Some(encode(event)) }))
    }

    type WatchAuditEventsStream = Snapshots<proto::WatchAuditEventsResponse>;

    async fn watch_audit_events(
        &self,
        request: Request<proto::WatchAuditEventsRequest>,
    ) -> Result<Response<Self::WatchAuditEventsStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let filter = Filter {
            outcome: outcome_word(request.outcome()).to_owned(),
            tenant: request.tenant_id,
            actor: request.actor,
            action: request.action,
            target: request.target,
            text: request.text,
            ..Filter::default()
        };
        let watch = self.watch.run(&caller, filter, request.since).await?;
        Ok(Response::new(follow(watch, look, |event| proto::WatchAuditEventsResponse {
            event: Some(encode(event)),
        })))
    }

    type ExportAuditLogStream = Snapshots<proto::ExportAuditLogResponse>;

    async fn export_audit_log(
        &self,
        request: Request<proto::ExportAuditLogRequest>,
    ) -> Result<Response<Self::ExportAuditLogStream>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let (format, content_type) = match asked.format() {
            proto::AuditExportFormat::Csv => (Format::Csv, "text/csv; charset=utf-8"),
            proto::AuditExportFormat::Unspecified | proto::AuditExportFormat::Jsonl => {
                (Format::Jsonl, "application/jsonl; charset=utf-8")
            }
        };
        let proto::ExportAuditLogRequest { tenant_id: tenant, from, size, cuts, .. } = asked;
        let chunks = self.export.run(&caller, Asked { format, tenant, from, size, cuts }).await?;
        Ok(Response::new(heard(chunks, move |chunk| proto::ExportAuditLogResponse {
            chunk: Some(file(content_type, chunk)),
        })))
    }

    async fn erase_audit_subject(
        &self,
        request: Request<proto::EraseAuditSubjectRequest>,
    ) -> Result<Response<proto::EraseAuditSubjectResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let typed = request.confirmation.map(|confirmation| confirmation.subject).unwrap_or_default();
        let entries = self.erase.run(&caller, &request.subject, &typed, &request.reason).await?;
        Ok(Response::new(proto::EraseAuditSubjectResponse { entries }))
    }
}

async fn look(mut watch: Watch) -> (Watch, Result<Vec<Event>, Failure>) {
    let seen = watch.look().await;
    (watch, seen)
}

fn outcome_word(outcome: proto::AuditOutcome) -> &'static str {
    match outcome {
        proto::AuditOutcome::Unspecified => "",
        proto::AuditOutcome::Pending => "pending",
        proto::AuditOutcome::Succeeded => "succeeded",
        proto::AuditOutcome::Failed => "failed",
        proto::AuditOutcome::Denied => "denied",
        proto::AuditOutcome::Interrupted => "interrupted",
    }
}

fn encode(event: Event) -> proto::AuditEvent {
    let outcome = match event.outcome.as_str() {
        "succeeded" => proto::AuditOutcome::Succeeded,
        "failed" => proto::AuditOutcome::Failed,
        "denied" => proto::AuditOutcome::Denied,
        "interrupted" => proto::AuditOutcome::Interrupted,
        _ => proto::AuditOutcome::Pending,
    };
    proto::AuditEvent {
        id: event.id,
        sequence: event.seq.to_string(),
        outcome_sequence: event.outcome_seq.map(|seq| seq.to_string()).unwrap_or_default(),
        time: Some(timestamp(event.time)),
        finished_at: event.finished_at.map(timestamp),
        actor: event.actor,
        actor_kind: event.actor_kind,
        tenant_id: event.tenant,
        action: event.action,
        target: event.target,
        outcome: outcome.into(),
        reason: event.reason,
        comment: event.comment,
        source_ip: event.source_ip,
        user_agent: event.user_agent,
        request_id: event.request_id,
        trace_id: event.trace_id,
        details: event.details,
        leaf_hash: event.leaf_hash,
    }
}
