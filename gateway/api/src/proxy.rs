//! gRPC and grpc-web: match → admit → size → forward the bytes as they are.
//!
//! Invariant: the caller's own headers stay here. A service sees the headers that the edge gave, and of the caller's
//! only those that describe the message.

use crate::{
    body::{self, Body},
    call::left,
    errors,
    front::Shared,
    ports::{Arrival, Visit},
    rest,
    routes::Rpc,
};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tower::ServiceExt;

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const DETAILS: &str = "grpc-status-details-bin";
/// Of the request's headers, those that describe its message.
const REQUEST_HEADERS: [&str; 4] = ["content-type", "grpc-encoding", "grpc-accept-encoding", "user-agent"];
/// Of the answer's headers, those that mean something outside.
const ANSWER_HEADERS: [&str; 6] =
    ["content-type", "grpc-encoding", "grpc-accept-encoding", "grpc-status", "grpc-message", DETAILS];
/// A message's flag and length stand before it.
const FRAME_HEAD: usize = 5;

/// Answers a gRPC request.
pub async fn answer(shared: &Shared, arrival: Arrival, request: Request<Body>) -> Response<Body> {
    match serve(shared, arrival, request).await {
        Ok(response) => response,
        Err(status) => errors::ours(status).into_http(),
    }
}

async fn serve(shared: &Shared, arrival: Arrival, request: Request<Body>) -> Result<Response<Body>, Status> {
    let (head, body) = request.into_parts();
    let rpc = shared.table.rpc(head.uri.path()).filter(|_| head.method == Method::POST);
    let rpc = rpc.ok_or_else(errors::unimplemented)?;
    tracing::Span::current().record("route", rpc.path.as_str());
    let visit =
        Visit { rule: rpc.rule.clone(), service: rpc.service, arrival, headers: head.headers.clone() };
    let admitted = (shared.parts.admit)(visit).await?;

    let limits = &shared.parts.limits;
    let asked = head.headers.get(&TIMEOUT).and_then(|value| parse_timeout(value.to_str().ok()?));
    let until = Instant::now() + asked.map_or(limits.deadline, |asked| asked.min(limits.deadline));
    let _place = shared.place()?;
    let message = rest::read(body, limits.body_of(&rpc.rule).saturating_add(FRAME_HEAD), until).await?;

    let mut forwarded = Request::new(body::full(message));
    *forwarded.method_mut() = Method::POST;
    *forwarded.version_mut() = Version::HTTP_2;
    *forwarded.uri_mut() = rpc.path.clone().into();
    *forwarded.headers_mut() = request_headers(&head.headers, admitted);
    let streams = rpc.method.is_server_streaming();
    if let Some(timeout) = if streams { asked } else { Some(left(until)) } {
        forwarded.headers_mut().insert(TIMEOUT, timeout_header(timeout));
    }
    let peer = (shared.parts.peers)(rpc.service);
    let response =
        timeout_at(until, peer.oneshot(forwarded)).await.map_err(|_| errors::too_late().to_status())??;
    Ok(outwards(rpc, response, &shared.closing))
}

fn request_headers(callers: &HeaderMap, admitted: HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in REQUEST_HEADERS {
        if let Some(value) = callers.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.extend(admitted);
    headers
}

/// The service's answer as it leaves: known headers only, foreign error texts replaced, streams that end with us.
fn outwards(rpc: &Rpc, response: Response<Body>, closing: &CancellationToken) -> Response<Body> {
    let (head, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers).filter(|status| status.code() != Code::Ok) {
        return errors::ours(status).into_http();
    }
    let body = if rpc.method.is_server_streaming() { until_closing(body, closing.clone()) } else { body };
    let mut answer = Response::new(body);
    *answer.status_mut() = head.status;
    for name in ANSWER_HEADERS {
        if let Some(value) = head.headers.get(name) {
            answer.headers_mut().insert(HeaderName::from_static(name), value.clone());
        }
    }
    answer
}

/// The body, ended with UNAVAILABLE when the gateway stops.
fn until_closing(body: Body, closing: CancellationToken) -> Body {
    let frames = stream::unfold(Some((body, closing)), |state| async move {
        let (mut body, closing) = state?;
        tokio::select! {
            biased;
            () = closing.cancelled() => {
                let mut trailers = HeaderMap::new();
                let status = errors::ours(Status::new(Code::Unavailable, ""));
                status.add_header(&mut trailers).ok()?;
                Some((Ok(Frame::trailers(trailers)), None))
            }
            frame = body.frame() => Some((frame?, Some((body, closing)))),
        }
    });
    Body::new(StreamBody::new(frames))
}

/// `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

fn timeout_header(timeout: Duration) -> HeaderValue {
    let millis = timeout.as_millis().min(99_999_999);
    HeaderValue::from_str(&format!("{millis}m")).unwrap_or_else(|_| HeaderValue::from_static("0m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_and_written() {
        for (text, expected) in [
            ("100m", Some(Duration::from_millis(100))),
            ("3S", Some(Duration::from_secs(3))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("5x", None),
            ("-5S", None),
            ("5µ", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
        assert_eq!(timeout_header(Duration::from_secs(60)), "60000m");
    }

    #[test]
    fn the_callers_token_is_replaced() {
        let mut callers = HeaderMap::new();
        callers.insert("authorization", HeaderValue::from_static("Bearer theirs"));
        callers.insert("content-type", HeaderValue::from_static("application/grpc"));
        callers.insert("keywright-request-id", HeaderValue::from_static("forged"));
        let mut admitted = HeaderMap::new();
        admitted.insert("authorization", HeaderValue::from_static("Bearer ours"));
        let headers = request_headers(&callers, admitted);
        assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer ours"]);
        assert_eq!(headers["content-type"], "application/grpc");
        assert!(!headers.contains_key("keywright-request-id"));
    }
}
