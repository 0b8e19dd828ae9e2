//! Authentication at a service's door: which token, for whom, and whether the RPC's rule could allow it at all.

use crate::clients::{Outbound, SOURCE_IP};
use crate::denylist::Denylist;
use crate::failure::Failure;
use crate::quota::Quotas;
use crate::rules::Rules;
use crate::tls::Connection;
use crate::token::{Verified, Verifier};
use crate::{audit::Audit, audit::Entry};
use keywright_domain::caller::{Caller, PrincipalKind, ServiceName};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_policy::Policy;
use keywright_proto::{AuditClass, Exposure, Rule};
use std::sync::Arc;

/// The caller of a request; the stack put it there.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, tonic::Status> {
    request.extensions().get::<Caller>().cloned().ok_or_else(|| unauthenticated().to_status())
}

pub(crate) fn unauthenticated() -> Failure {
    Failure::new(Reason::Unauthenticated, "The token is missing, unknown, expired or revoked.")
}

pub(crate) fn bearer_of(headers: &http::HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// What the door knows.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) own: ServiceName,
    pub(crate) rules: Rules,
    pub(crate) verifier: Verifier,
    pub(crate) policy: Policy,
    pub(crate) outbound: Outbound,
    pub(crate) audit: Audit,
    pub(crate) denylist: Denylist,
    /// Of those who come here directly; what the gateway carries it counts itself.
    pub(crate) quotas: Arc<Quotas>,
}

/// What is known of a request before its token is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    pub(crate) user_agent: String,
    /// The connection, where the request came over one of our own sockets.
    pub(crate) connection: Connection,
}

impl Door {
    /// The caller of the RPC at `path`; none for an RPC that strangers may call without a token.
    pub(crate) async fn admit(
        &self,
        path: &str,
        headers: &http::HeaderMap,
        trace: Trace,
    ) -> Result<Option<Caller>, Failure> {
        let rule = self
            .rules
            .get(path)
            .ok_or_else(|| Failure::new(Reason::RouteNotFound, "There is no such RPC."))?;
        let Some(token) = bearer_of(headers) else {
            return if rule.audit_class == AuditClass::Public { Ok(None) } else { Err(unauthenticated()) };
        };
        let mut caller = self.identify(token, &trace).await?;
        if caller.principal.kind == PrincipalKind::System && caller.acting == Some(ServiceName::Gateway) {
            let source = headers.get(SOURCE_IP).and_then(|value| value.to_str().ok());
            caller.source_ip = source.unwrap_or_default().to_owned();
        }
        caller.trace_id = trace.trace_id;
        if caller.request_id.is_empty() {
            caller.request_id = trace.request_id;
        }
        self.decide(rule, &caller).await?;
        Ok(Some(caller))
    }

    async fn identify(&self, token: &str, trace: &Trace) -> Result<Caller, Failure> {
        match self.verifier.verify(token).map_err(|_| unauthenticated())? {
            Verified::Service(caller) => Ok(*caller),
            Verified::Exchanged(mut caller) => {
                self.denylist.check(&caller)?;
                caller.bearer = Some(Arc::new(Secret::from_text(token.to_owned())));
                Ok(*caller)
            }
            Verified::User { .. } => {
                self.denylist.in_contact()?;
                self.quotas.source(&trace.connection.source_ip, AuditClass::Read)?;
                // A program that calls this service directly: its token is exchanged here, for this service alone.
                let mut arrival = Caller::background(self.own, "");
                arrival.request_id.clone_from(&trace.request_id);
                arrival.user_agent.clone_from(&trace.user_agent);
                arrival.source_ip.clone_from(&trace.connection.source_ip);
                arrival.client_certificate.clone_from(&trace.connection.client_certificate);
                let short = self.outbound.exchange(token, self.own, &arrival).await?;
                match self.verifier.verify(&short).map_err(|_| unauthenticated())? {
                    Verified::Exchanged(mut caller) => {
                        self.quotas.principal(&caller.principal.id)?;
                        // It acts for itself: nothing inside opens for it.
                        caller.acting = None;
                        caller.bearer = Some(Arc::new(Secret::from_text(short)));
                        Ok(*caller)
                    }
                    _ => Err(unauthenticated()),
                }
            }
        }
    }

    async fn decide(&self, rule: &Rule, caller: &Caller) -> Result<(), Failure> {
        let inside = caller.acting.is_some_and(|service| service != ServiceName::Gateway);
        let vouched = matches!(rule.action.as_str(), "token.exchange" | "token.watch" | "audit.append");
        // These take a service's own proof alone: a user's exchanged token is not one.
        let reachable = match rule.exposure {
            Exposure::Public => true,
            Exposure::Internal if vouched => caller.principal.kind == PrincipalKind::System,
            Exposure::Internal => inside,
            // Straight from a program: the gateway never carries one of these.
            Exposure::Platform => inside || caller.acting.is_none(),
        };
        let denied = match self.policy.admits(caller, &rule.action) {
            Ok(()) if reachable => return Ok(()),
            Ok(()) => "it cannot be reached from there".to_owned(),
            Err(denied) => denied.to_string(),
        };
        let tenant = caller.principal.tenant.clone();
        let entry = Entry::new(&rule.action).tenant(tenant.as_ref()).denied_by(denied);
        self.audit.denied(caller, entry, Reason::PermissionDenied).await;
        Err(Failure::new(Reason::PermissionDenied, "Your role does not allow this."))
    }
}
