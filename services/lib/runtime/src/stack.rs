//! The one way into a service: trace, shed load, authenticate, hold the deadline, then the RPC. The same for a peer
//! in the process and for one behind a socket.

use crate::audit::Audit;
use crate::auth::{Door, Trace};
use crate::clients::{CALL_DEADLINE, Outbound, REQUEST_ID};
use crate::deadline::Deadline;
use crate::denylist::Denylist;
use crate::ending;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::quota::{Quotas, Shares};
use crate::rules::Rules;
use crate::telemetry;
use crate::tls::Connection;
use crate::token::Verifier;
use keywright_domain::caller::ServiceName;
use keywright_domain::ids::RequestId;
use keywright_domain::reason::Reason;
use keywright_policy::Policy;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;
use tracing::Instrument;

/// Requests that one service works on at once; more are refused at once, retriable.
const IN_FLIGHT: usize = 512;

/// Characters of what a client calls itself that are kept.
const MAX_USER_AGENT: usize = 200;

type Request = http::Request<Body>;
type Response = http::Response<Body>;

#[derive(Clone)]
pub struct Stack {
    door: Door,
    room: Arc<Semaphore>,
}

impl Stack {
    pub fn new(
        own: ServiceName,
        rules: Rules,
        verifier: Verifier,
        policy: Policy,
        outbound: Outbound,
        audit: Audit,
        denylist: Denylist,
    ) -> Self {
        let quotas = Arc::new(Quotas::new(Shares::default(), verifier.clock()));
        let door = Door { own, rules, verifier, policy, outbound, audit, denylist, quotas };
        Self { door, room: Arc::new(Semaphore::new(IN_FLIGHT)) }
    }

    /// The service behind the stack.
    pub fn layer(&self, routes: Routes) -> Peer {
        let (stack, routes) = (self.clone(), routes.prepare());
        Peer::new(tower::service_fn(move |request: Request| {
            let (stack, routes) = (stack.clone(), routes.clone());
            async move {
                let path = request.uri().path().to_owned();
                let span = telemetry::server_span(stack.door.own, &path, request.headers());
                Ok(stack.serve(path, request, routes).instrument(span).await)
            }
        }))
    }

    async fn serve(&self, path: String, request: Request, routes: Routes) -> Response {
        match self.run(&path, request, routes).await {
            Ok(response) => response,
            Err(failure) => {
                tracing::info!(reason = failure.reason.as_str(), "refused");
                failure.to_status().into_http()
            }
        }
    }

    async fn run(&self, path: &str, mut request: Request, routes: Routes) -> Result<Response, Failure> {
        let _place = self.room.try_acquire().map_err(|_| {
            Failure::new(
                Reason::RateLimited,
                "The service is working on as many requests as it takes at once.",
            )
        })?;
        let mut whose = None;
        if !path.starts_with("/grpc.health.v1.Health/") {
            let trace = trace_of(&request)?;
            if let Some(caller) = self.door.admit(path, request.headers(), trace).await? {
                if caller.principal.token.is_some() && self.door.rules.streams(path) {
                    whose = Some(caller.clone());
                }
                request.extensions_mut().insert(caller);
            }
        }
        let deadline = deadline_of(request.headers());
        request.extensions_mut().insert(Deadline::after(deadline));
        let answer = tokio::time::timeout(deadline, routes.oneshot(request)).await;
        let answer: Result<Response, Infallible> = answer.map_err(|_| {
            Failure::new(Reason::DeadlineExceeded, "The request took longer than its deadline.")
        })?;
        let answer = answer.unwrap_or_else(|never| match never {});
        Ok(match whose {
            Some(caller) => answer.map(|body| ending::with_token(body, caller, self.door.denylist.clone())),
            None => answer,
        })
    }
}

fn trace_of(request: &Request) -> Result<Trace, Failure> {
    let agent = request.headers().get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    Ok(Trace {
        request_id: request_id(request.headers())?,
        trace_id: telemetry::current_trace_id(),
        user_agent: agent.unwrap_or_default().chars().take(MAX_USER_AGENT).collect(),
        connection: request.extensions().get::<Connection>().cloned().unwrap_or_default(),
    })
}

fn request_id(headers: &http::HeaderMap) -> Result<String, Failure> {
    match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()) {
        Some(id) if !id.is_empty() && id.len() <= 64 => Ok(id.to_owned()),
        _ => Ok(RequestId::random()?.to_string()),
    }
}

/// The caller's `grpc-timeout`, never longer than our own.
fn deadline_of(headers: &http::HeaderMap) -> Duration {
    headers
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(parse_timeout)
        .map_or(CALL_DEADLINE, |asked| asked.min(CALL_DEADLINE))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_the_protocol_writes_it() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parse_timeout("2"), None);
        assert_eq!(parse_timeout(""), None);
        assert_eq!(parse_timeout("é"), None);
    }
}
