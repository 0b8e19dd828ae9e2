//! What the gateway needs from the process around it: somebody who admits callers, the peers behind it, and their
//! readiness.

use crate::source::TrustedProxies;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use keywright_domain::caller::ServiceName;
use keywright_domain::clock::Clock;
use keywright_proto::{AuditClass, Rule};
pub use keywright_runtime::{
    edge::Arrival,
    failure::{DOMAIN, Failure, Violation},
    peer::Peer,
    rules::service_of,
};
use keywright_runtime::{
    edge::Edge,
    peer::Peers,
    quota::{Quotas, Shares},
};
use std::{sync::Arc, time::Duration};

/// Somebody at the door: which RPC they want and what they brought.
#[derive(Clone)]
pub struct Visit {
    pub rule: Rule,
    pub service: ServiceName,
    pub arrival: Arrival,
    pub headers: HeaderMap,
}

/// Authenticates, decides the coarse policy, and answers the headers of the forwarded request.
pub type Admit = Arc<dyn Fn(Visit) -> BoxFuture<'static, Result<HeaderMap, Failure>> + Send + Sync>;

/// The way to a service.
pub type PeerOf = Arc<dyn Fn(ServiceName) -> Peer + Send + Sync>;

/// Asks every service whether it can work. The texts are shown to anybody: no addresses, no driver errors.
pub type Readiness =
    Arc<dyn Fn() -> BoxFuture<'static, Vec<(&'static str, Result<String, String>)>> + Send + Sync>;

/// What one request, and the port as a whole, may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request body.
    pub body: usize,
    /// Bytes of a request body that somebody without a token may send.
    pub strangers_body: usize,
    /// Requests whose body is read or whose answer is awaited, at once. A stream counts until its first message.
    pub requests: usize,
    /// Bytes of an answer that a service sends.
    pub answer: usize,
    /// From the first byte of the body to the answer's head. A stream may go on after it.
    pub deadline: Duration,
    /// Open connections.
    pub connections: usize,
    /// Of one source; trusted proxies carry many and are not counted.
    pub source_connections: usize,
    /// Requests of one source and of one principal.
    pub shares: Shares,
    /// Between two comments on a quiet event stream.
    pub keep_alive: Duration,
    /// How long a stop waits for requests to end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 256 * 1024,
            strangers_body: 20 * 1024,
            requests: 1024,
            answer: 16 * 1024 * 1024,
            deadline: Duration::from_secs(60),
            connections: 4096,
            source_connections: 512,
            shares: Shares::default(),
            keep_alive: Duration::from_secs(15),
            drain: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// Bytes of a request body of this RPC.
    pub fn body_of(&self, rule: &Rule) -> usize {
        match rule.audit_class {
            AuditClass::Public => self.strangers_body.min(self.body),
            AuditClass::Read | AuditClass::Mutation | AuditClass::SecretUse => self.body,
        }
    }
}

/// Everything that a gateway is built from.
#[derive(Clone)]
pub struct Parts {
    pub admit: Admit,
    pub peers: PeerOf,
    pub ready: Readiness,
    pub limits: Limits,
    pub proxies: TrustedProxies,
}

impl Parts {
    /// The parts of a real gateway.
    pub fn new(edge: Edge, peers: Peers, ready: Readiness, limits: Limits, proxies: TrustedProxies) -> Self {
        let quotas = Arc::new(Quotas::new(limits.shares, &Clock::System));
        let admit: Admit = Arc::new(move |visit: Visit| {
            let (edge, quotas) = (edge.clone(), quotas.clone());
            Box::pin(async move {
                let Visit { rule, service, arrival, headers } = visit;
                quotas.source(&arrival.source_ip, rule.audit_class)?;
                let admitted = edge.admit(&rule, service, &arrival, &headers).await?;
                if let Some(caller) = &admitted.caller {
                    quotas.principal(&caller.principal.id)?;
                }
                Ok(admitted.headers)
            })
        });
        Self { admit, peers: Arc::new(move |service| peers.get(service)), ready, limits, proxies }
    }
}
