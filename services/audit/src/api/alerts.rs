//! What the log is watched for, and what was seen.

use crate::alerting::alert::{Alert, State};
use crate::alerting::rule::{Ending, Rule, Subject};
use crate::app::alerts::acknowledge::AcknowledgeAlert;
use crate::app::alerts::list::ListAlerts;
use crate::app::alerts::rules::{DeleteRule, ListRules};
use crate::app::alerts::set_rule::{SetRule, Wanted};
use crate::store::alert::Filter;
use keywright_proto::audit as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use tonic::{Request, Response, Status};

pub struct Alerts {
    pub list: ListAlerts,
    pub acknowledge: AcknowledgeAlert,
    pub rules: ListRules,
    pub set: SetRule,
    pub delete: DeleteRule,
}

#[tonic::async_trait]
impl proto::audit_alert_service_server::AuditAlertService for Alerts {
    async fn list_audit_alerts(
        &self,
        request: Request<proto::ListAuditAlertsRequest>,
    ) -> Result<Response<proto::ListAuditAlertsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let state = match request.state() {
            proto::AuditAlertState::Unspecified => "",
            proto::AuditAlertState::Open => State::Open.as_str(),
            proto::AuditAlertState::Acknowledged => State::Acknowledged.as_str(),
        };
        let filter = Filter { tenant: request.tenant_id, state: state.to_owned(), rule: request.rule_id };
        let (alerts, next_page_token) =
            self.list.run(&caller, filter, request.page_size, &request.page_token).await?;
        let items = alerts.into_iter().map(alert).collect();
        Ok(Response::new(proto::ListAuditAlertsResponse { items, next_page_token }))
    }

    async fn acknowledge_audit_alert(
        &self,
        request: Request<proto::AcknowledgeAuditAlertRequest>,
    ) -> Result<Response<proto::AcknowledgeAuditAlertResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let found = self.acknowledge.run(&caller, &request.alert_id, &request.comment).await?;
        Ok(Response::new(proto::AcknowledgeAuditAlertResponse { alert: Some(alert(found)) }))
    }

    async fn list_audit_alert_rules(
        &self,
        request: Request<proto::ListAuditAlertRulesRequest>,
    ) -> Result<Response<proto::ListAuditAlertRulesResponse>, Status> {
        let caller = caller(&request)?;
        let items = self.rules.run(&caller).await?.into_iter().map(rule).collect();
        Ok(Response::new(proto::ListAuditAlertRulesResponse { items }))
    }

    async fn set_audit_alert_rule(
        &self,
        request: Request<proto::SetAuditAlertRuleRequest>,
    ) -> Result<Response<proto::SetAuditAlertRuleResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let given = request.rule.ok_or_else(|| Failure::violation("rule", "is required"))?;
        let set = self.set.run(&caller, &request.rule_id, wanted(given)?).await?;
        Ok(Response::new(proto::SetAuditAlertRuleResponse { rule: Some(rule(set)) }))
    }

    async fn delete_audit_alert_rule(
        &self,
        request: Request<proto::DeleteAuditAlertRuleRequest>,
    ) -> Result<Response<proto::DeleteAuditAlertRuleResponse>, Status> {
        let caller = caller(&request)?;
        self.delete.run(&caller, &request.into_inner().rule_id).await?;
        Ok(Response::new(proto::DeleteAuditAlertRuleResponse {}))
    }
}

fn wanted(given: proto::AuditAlertRule) -> Result<Wanted, Failure> {
    let ending = match given.outcome() {
        proto::AuditOutcome::Unspecified => None,
        proto::AuditOutcome::Succeeded => Some(Ending::Succeeded),
        proto::AuditOutcome::Failed => Some(Ending::Failed),
        proto::AuditOutcome::Denied => Some(Ending::Denied),
        proto::AuditOutcome::Interrupted => Some(Ending::Interrupted),
        proto::AuditOutcome::Pending => {
            return Err(Failure::violation("rule.outcome", "must be how an operation ended"));
        }
    };
    let subject = match given.subject() {
        proto::AuditAlertSubject::Unspecified => None,
        proto::AuditAlertSubject::Actor => Some(Subject::Actor),
        proto::AuditAlertSubject::Target => Some(Subject::Target),
        proto::AuditAlertSubject::Source => Some(Subject::Source),
        proto::AuditAlertSubject::Tenant => Some(Subject::Tenant),
    };
    Ok(Wanted {
        ending,
        subject,
        description: given.description,
        actions: given.actions,
        reason: given.reason,
        threshold: given.threshold,
        window_seconds: given.window_seconds,
        hours: given.hours,
        disabled: given.disabled,
    })
}

/// Of a rule that counts several endings or reasons neither is shown: its description says them.
fn rule(rule: Rule) -> proto::AuditAlertRule {
    let outcome = match rule.endings.as_slice() {
        [Ending::Succeeded] => proto::AuditOutcome::Succeeded,
        [Ending::Failed] => proto::AuditOutcome::Failed,
        [Ending::Denied] => proto::AuditOutcome::Denied,
        [Ending::Interrupted] => proto::AuditOutcome::Interrupted,
        _ => proto::AuditOutcome::Unspecified,
    };
    let reason = match rule.reasons.as_slice() {
        [reason] => reason.clone(),
        _ => String::new(),
    };
    proto::AuditAlertRule {
        id: rule.id,
        description: rule.description,
        actions: rule.actions,
        outcome: outcome.into(),
        reason,
        subject: subject(rule.subject).into(),
        threshold: number(rule.threshold),
        window_seconds: i32::try_from(rule.window.as_secs()).unwrap_or(i32::MAX),
        hours: rule.hours.map(|hours| hours.to_string()).unwrap_or_default(),
        disabled: rule.disabled,
        built_in: rule.built_in,
    }
}

fn subject(subject: Subject) -> proto::AuditAlertSubject {
    match subject {
        Subject::Actor => proto::AuditAlertSubject::Actor,
        Subject::Target => proto::AuditAlertSubject::Target,
        Subject::Source => proto::AuditAlertSubject::Source,
        Subject::Tenant => proto::AuditAlertSubject::Tenant,
    }
}

fn number(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn alert(alert: Alert) -> proto::AuditAlert {
    let state = match alert.state {
        State::Open => proto::AuditAlertState::Open,
        State::Acknowledged => proto::AuditAlertState::Acknowledged,
    };
    proto::AuditAlert {
        id: alert.id.to_string(),
        rule_id: alert.rule,
        description: alert.description,
        tenant_id: alert.tenant,
        subject_kind: subject(alert.subject_kind).into(),
        subject: alert.subject,
        count: number(alert.times),
        raised_at: Some(timestamp(alert.raised_at)),
        last_at: Some(timestamp(alert.last_at)),
        event_id: alert.event,
        state: state.into(),
        acknowledged_by: alert.acknowledged_by,
        acknowledged_at: alert.acknowledged_at.map(timestamp),
        comment: alert.comment,
    }
}
