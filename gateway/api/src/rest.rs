//! One REST request: match → admit → size → well-formed → forward → answer.
//!
//! Invariant: nobody unknown buys the reading of a body, nobody refused buys its parsing.

use crate::{
    body::{self, Body, Unread},
    call::Call,
    chunks, cookie,
    errors::{self, Refusal},
    front::Shared,
    ports::{Arrival, Failure, Visit},
    routes::{Found, Route, Rpc},
    sse::Events,
    transcode::{self, Attachment, Content},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use keywright_domain::reason::Reason;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroize;

/// Answers a request for a path under `/api`.
pub async fn answer(shared: &Shared, arrival: Arrival, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path();
    match shared.table.find(request.method(), path) {
        Found::Nothing => Refusal::from(errors::route_not_found()).into_response(),
        Found::OtherMethods(methods) => Refusal::method_not_allowed(&methods).into_response(),
        Found::Route(route, values) => {
            tracing::Span::current().record("route", tracing::field::display(&route.template));
            match serve(shared, arrival, route, values, request).await {
                Ok(response) => response,
                Err(refusal) => refusal.into_response(),
            }
        }
    }
}

async fn serve(
    shared: &Shared,
    arrival: Arrival,
    route: &Route,
    values: Vec<String>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let encrypted = arrival.encrypted;
    let headers = admit(shared, &route.rpc, arrival, head.headers.clone()).await?;
    let limits = &shared.parts.limits;
    let until = Instant::now() + limits.deadline;
    let _place = shared.place()?;
    let bytes = read(body, limits.body_of(&route.rpc.rule), until).await?;
    let message = transcode::message(route, values, head.uri.query(), &head.headers, &bytes);
    wipe_bytes(bytes);
    let peer = (shared.parts.peers)(route.rpc.service);
    let call = Call { peer, rpc: &route.rpc, headers, until, max_answer: limits.answer };
    if route.rpc.method.is_server_streaming() {
        let messages = call.stream(message?).await?;
        if transcode::is_bytes(&route.rpc.method, route.response_body.as_ref()) {
            return Ok(chunks::response(messages, route.response_body.clone(), shared.closing.clone()).await?);
        }
        let (keep_alive, closing) = (limits.keep_alive, shared.closing.clone());
        let events = Events { messages, field: route.response_body.clone(), keep_alive, closing };
        return Ok(event_stream(events.into_body()));
    }
    let mut answer = call.unary(message?).await?;
    let cookie = cookie::of(&route.rpc, &mut answer, encrypted);
    let mut response = match transcode::content(route.response_body.as_ref(), &answer) {
        Content::Json(json) => body::json(StatusCode::OK, &json),
        Content::Bytes(attachment) => download(&route.rpc, attachment),
    };
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Asks the edge; the answer is the headers of the forwarded request.
pub async fn admit(
    shared: &Shared,
    rpc: &Rpc,
    arrival: Arrival,
    headers: HeaderMap,
) -> Result<HeaderMap, Failure> {
    (shared.parts.admit)(Visit { rule: rpc.rule.clone(), service: rpc.service, arrival, headers }).await
}

/// The whole body, in time and within `limit`.
pub async fn read(body: Body, limit: usize, until: Instant) -> Result<Bytes, Failure> {
    match timeout_at(until, body::read(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Unread::TooLarge)) => Err(errors::too_large(limit)),
        Ok(Err(Unread::Broken)) => Err(errors::said(
            Reason::ValidationFailed,
            "The request ended before its body did. Send all of it.",
        )),
        Err(_) => Err(errors::too_late()),
    }
}

/// The body may have held a private key. Nobody else holds these bytes.
fn wipe_bytes(bytes: Bytes) {
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.as_mut().zeroize();
    }
}

fn event_stream(events: Body) -> Response<Body> {
    let mut response = Response::new(events);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn download(rpc: &Rpc, attachment: Attachment) -> Response<Body> {
    let not_modified = attachment.not_modified;
    let mut response = file(rpc, attachment);
    if response.headers().contains_key(header::ETAG) {
        // It may be kept, by this client, and is asked for again each time.
        let again = HeaderValue::from_static("private, no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, again);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("authorization, cookie"));
    }
    if not_modified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_DISPOSITION);
    }
    response
}

fn file(rpc: &Rpc, attachment: Attachment) -> Response<Body> {
    let disposition = match file_name(rpc, &attachment.data) {
        Some(name) => HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")),
        None => Ok(HeaderValue::from_static("attachment")),
    };
    let mut response = Response::new(body::full(attachment.data));
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_str(&attachment.content_type).ok().filter(|value| !value.is_empty());
    headers.insert(
        header::CONTENT_TYPE,
        content_type.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")),
    );
    if let Ok(disposition) = disposition {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    for (name, value) in attachment.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

/// What the file is called when it is saved. PuTTY's tools go by the ending.
fn file_name(rpc: &Rpc, data: &[u8]) -> Option<&'static str> {
    match rpc.rule.action.as_str() {
        "access.download" if data.starts_with(b"PuTTY-User-Key-File-") => Some("tenant-ssh-key.ppk"),
        "access.download" => Some("tenant-ssh-key.pem"),
        _ => None,
    }
}
