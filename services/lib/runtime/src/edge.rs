//! The door of the gateway: a user's token is verified and exchanged for one that holds 60 seconds and for one
//! service; whoever could not be allowed the RPC at all is turned away before his request is read.

use crate::audit::{Audit, Entry};
use crate::auth::{bearer_of, unauthenticated};
use crate::clients::{Outbound, REQUEST_ID, SOURCE_IP};
use crate::denylist::Denylist;
use crate::failure::Failure;
use crate::session;
use crate::telemetry;
use crate::token::{Verified, Verifier};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::reason::Reason;
use keywright_policy::Policy;
use keywright_proto::{AuditClass, Rule};

#[derive(Clone)]
pub struct Edge {
    outbound: Outbound,
    verifier: Verifier,
    policy: Policy,
    audit: Audit,
    denylist: Denylist,
}

/// What is known of a request before its token is read.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub request_id: String,
    pub source_ip: String,
    pub user_agent: String,
    /// The verified client certificate of the connection: SHA-256 of its DER form; empty for none.
    pub client_certificate: String,
    /// The client came by TLS, to us or to a proxy that we trust.
    pub encrypted: bool,
    /// GET or HEAD: what a console session may do without its header.
    pub reads: bool,
}

/// An admitted request.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// None for an RPC that strangers may call.
    pub caller: Option<Caller>,
    /// To be put on the forwarded request, replacing the same names.
    pub headers: HeaderMap,
}

impl Edge {
    pub fn new(
        outbound: Outbound,
        verifier: Verifier,
        policy: Policy,
        audit: Audit,
        denylist: Denylist,
    ) -> Self {
        Self { outbound, verifier, policy, audit, denylist }
    }

    pub async fn admit(
        &self,
        rule: &Rule,
        service: ServiceName,
        arrival: &Arrival,
        headers: &HeaderMap,
    ) -> Result<Admitted, Failure> {
        let mut forwarded = HeaderMap::new();
        insert(&mut forwarded, REQUEST_ID, &arrival.request_id);
        insert(&mut forwarded, SOURCE_IP, &arrival.source_ip);
        telemetry::inject_headers(&mut forwarded);
        if rule.audit_class == AuditClass::Public {
            // The gateway vouches for where a stranger's request came from, with its own proof.
            bearer(&mut forwarded, &self.outbound.own_proof(service)?)?;
            return Ok(Admitted { caller: None, headers: forwarded });
        }
        let token = self.subject(arrival, headers)?;
        self.denylist.in_contact()?;
        let mut who = Caller::background(ServiceName::Gateway, "");
        who.request_id.clone_from(&arrival.request_id);
        who.source_ip.clone_from(&arrival.source_ip);
        who.user_agent.clone_from(&arrival.user_agent);
        who.client_certificate.clone_from(&arrival.client_certificate);
        let short = self.outbound.exchange(token, service, &who).await?;
        let Ok(Verified::Exchanged(caller)) = self.verifier.verify_for(&short, service) else {
            return Err(unauthenticated());
        };
        self.denylist.check(&caller)?;
        if let Err(denied) = self.policy.admits(&caller, &rule.action) {
            let tenant = caller.principal.tenant.clone();
            let entry = Entry::new(&rule.action).tenant(tenant.as_ref()).denied_by(&denied);
            self.audit.denied(&caller, entry, Reason::PermissionDenied).await;
            return Err(Failure::new(Reason::PermissionDenied, "Your role does not allow this."));
        }
        bearer(&mut forwarded, &short)?;
        Ok(Admitted { caller: Some(*caller), headers: forwarded })
    }

    /// What the request came with: a user's token, or a console session's secret. Looked at here first: a stranger's
    /// rubbish buys no signature and no call.
    fn subject<'a>(&self, arrival: &Arrival, headers: &'a HeaderMap) -> Result<&'a str, Failure> {
        if headers.contains_key(AUTHORIZATION) {
            let token = bearer_of(headers).ok_or_else(unauthenticated)?;
            return match self.verifier.verify(token) {
                Ok(Verified::User { .. }) => Ok(token),
                _ => Err(unauthenticated()),
            };
        }
        let secret = session::cookie_of(headers).ok_or_else(unauthenticated)?;
        session::check_origin(secret, arrival.reads, headers)?;
        Ok(secret)
    }
}

fn bearer(headers: &mut HeaderMap, token: &str) -> Result<(), Failure> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unauthenticated())?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
