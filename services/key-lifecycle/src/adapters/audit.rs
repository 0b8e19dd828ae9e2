//! The audit log, to be read for what is kept of a tenant.

use keywright_domain::caller::ServiceName;
use keywright_domain::ids::TenantId;
use keywright_proto::audit as proto;
use keywright_proto::audit::audit_service_client::AuditServiceClient;
use keywright_runtime::audit::instant;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use serde_json::{Value, json};

const PAGE: i32 = 500;

#[derive(Clone)]
pub struct AuditLog {
    pub outbound: Outbound,
}

impl AuditLog {
    /// The tenant's events, newest first, and where the next page begins.
    pub async fn page(&self, tenant: &TenantId, token: &str) -> Result<(Vec<Value>, String), Failure> {
        let message = proto::ListAuditEventsRequest {
            tenant_id: tenant.to_string(),
            page_size: PAGE,
            page_token: token.to_owned(),
            ..Default::default()
        };
        let request = self.outbound.own_request(ServiceName::Audit, Some(tenant.as_str()), message)?;
        let mut log = AuditServiceClient::new(self.outbound.peer(ServiceName::Audit));
        let answer = log.list_audit_events(request).await?.into_inner();
        Ok((answer.items.iter().map(event).collect(), answer.next_page_token))
    }
}

fn event(event: &proto::AuditEvent) -> Value {
    let outcome = event.outcome().as_str_name().trim_start_matches("AUDIT_OUTCOME_").to_lowercase();
    json!({
        "id": event.id, "time": event.time.map(|at| instant(at).rfc3339()), "actor": event.actor,
        "actorKind": event.actor_kind, "action": event.action, "target": event.target, "outcome": outcome,
        "reason": event.reason, "comment": event.comment, "sourceIp": event.source_ip,
        "requestId": event.request_id, "details": event.details, "leafHash": event.leaf_hash,
    })
}
