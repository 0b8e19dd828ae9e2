//! What every request meets first: it gets its id, its kind is told apart, and its answer the common headers.

use crate::{
    body::{self, Body},
    errors::{self, Refusal},
    health::{Builtin, Ready},
    ports::{Arrival, Failure, Parts},
    proxy, rest,
    routes::Table,
    source::TrustedProxies,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use keywright_domain::{ids::RequestId, reason::Reason};
use keywright_runtime::tls::Connection;
use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic_web::GrpcWebLayer;
use tower::{Layer, ServiceExt, service_fn};

/// Where the document of the API is.
pub const OPENAPI_PATH: &str = "/api/openapi.json";
const REQUEST_ID: HeaderName = HeaderName::from_static("keywright-request-id");
const CALLERS_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_USER_AGENT: usize = 200;

/// What all requests share.
pub struct Shared {
    pub table: Table,
    pub parts: Parts,
    pub ready: Ready,
    /// gRPC health and reflection.
    pub builtin: Builtin,
    pub openapi: Bytes,
    /// Requests at once.
    pub room: Semaphore,
    /// Cancelled when the gateway stops: watches end.
    pub closing: CancellationToken,
}

impl Shared {
    /// A place for one request, for as long as it is held.
    pub fn place(&self) -> Result<SemaphorePermit<'_>, Failure> {
        self.room.try_acquire().map_err(|_| {
            Failure::new(
                Reason::RateLimited,
                "The gateway is working on as many requests as it takes at once.",
            )
        })
    }
}

/// Answers one request.
pub async fn answer(
    shared: Arc<Shared>,
    connection: &Connection,
    mut request: Request<Body>,
) -> Response<Body> {
    name_host(&mut request);
    let callers_id = callers_request_id(request.headers());
    let is_api = request.uri().path().starts_with("/api/");
    let (id, mut response) = match RequestId::random() {
        Ok(id) => {
            let arrival = arrival(&id, &shared.parts.proxies, connection, &request);
            (Some(id.to_string()), traced(shared, arrival, request).await)
        }
        Err(_) => (
            None,
            Refusal::from(Failure::new(Reason::Internal, "No request id could be made.")).into_response(),
        ),
    };
    let headers = response.headers_mut();
    if let Some(id) = id.and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(id) = callers_id {
        headers.insert(CALLERS_REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What has an entity tag says itself how it may be kept.
    let keeps =
        headers.contains_key(header::CACHE_CONTROL) && (!is_api || headers.contains_key(header::ETAG));
    if !keeps {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if is_api {
        // Nothing here is a page: what a browser is tricked into showing runs nothing.
        let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[tracing::instrument(name = "request", skip_all, fields(request_id = %arrival.request_id, route, status))]
async fn traced(shared: Arc<Shared>, arrival: Arrival, request: Request<Body>) -> Response<Body> {
    let began = Instant::now();
    let response = dispatch(shared, arrival, request).await;
    tracing::Span::current().record("status", response.status().as_u16());
    tracing::info!(elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), "answered");
    response
}

async fn dispatch(shared: Arc<Shared>, arrival: Arrival, request: Request<Body>) -> Response<Body> {
    match protocol(request.headers()) {
        Protocol::GrpcWeb if request.method() == Method::POST => return grpc(shared, arrival, request).await,
        Protocol::Grpc if request.version() == Version::HTTP_2 => {
            return grpc(shared, arrival, request).await;
        }
        Protocol::GrpcWeb => return Refusal::method_not_allowed("POST").into_response(),
        Protocol::Grpc => {
            let message = "gRPC needs HTTP/2. Use it, or grpc-web.";
            return Refusal::from(errors::said(Reason::ValidationFailed, message)).into_response();
        }
        Protocol::Rest => {}
    }
    match request.uri().path() {
        "/healthz" => {
            get_only(request.method(), || body::json(StatusCode::OK, &serde_json::json!({"status": "ok"})))
        }
        "/readyz" if request.method() == Method::GET => shared.ready.answer().await,
        "/readyz" => Refusal::method_not_allowed("GET").into_response(),
        OPENAPI_PATH => get_only(request.method(), || openapi(&shared)),
        path if path.starts_with("/api/") => rest::answer(&shared, arrival, request).await,
        _ => Refusal::from(errors::route_not_found()).into_response(),
    }
}

fn get_only(method: &Method, answer: impl FnOnce() -> Response<Body>) -> Response<Body> {
    if *method == Method::GET { answer() } else { Refusal::method_not_allowed("GET").into_response() }
}

fn openapi(shared: &Shared) -> Response<Body> {
    let mut response = Response::new(body::full(shared.openapi.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// gRPC, with grpc-web translated on the way in and out.
async fn grpc(shared: Arc<Shared>, arrival: Arrival, request: Request<Body>) -> Response<Body> {
    let inner = service_fn(move |request: Request<Body>| {
        let (shared, arrival) = (shared.clone(), arrival.clone());
        async move {
            let response = match shared.builtin.takes(request.uri().path()) {
                true => shared.builtin.answer(request).await,
                false => proxy::answer(&shared, arrival, request).await,
            };
            Ok::<_, Infallible>(response)
        }
    });
    match GrpcWebLayer::new().layer(inner).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

enum Protocol {
    Grpc,
    GrpcWeb,
    Rest,
}

fn protocol(headers: &HeaderMap) -> Protocol {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    match kind {
        b"application/grpc-web"
        | b"application/grpc-web+proto"
        | b"application/grpc-web-text"
        | b"application/grpc-web-text+proto" => Protocol::GrpcWeb,
        b"application/grpc" | b"application/grpc+proto" => Protocol::Grpc,
        _ => Protocol::Rest,
    }
}

/// HTTP/2 says the host beside the headers; whoever compares it finds it among them.
fn name_host(request: &mut Request<Body>) {
    let authority = request.uri().authority().and_then(|it| HeaderValue::from_str(it.as_str()).ok());
    if let Some(authority) = authority {
        request.headers_mut().entry(header::HOST).or_insert(authority);
    }
}

fn arrival(
    id: &RequestId,
    proxies: &TrustedProxies,
    connection: &Connection,
    request: &Request<Body>,
) -> Arrival {
    let headers = request.headers();
    let peer = connection.source_ip.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Arrival {
        request_id: id.to_string(),
        source_ip: proxies.source(peer, headers).to_string(),
        user_agent: agent.chars().take(MAX_USER_AGENT).collect(),
        client_certificate: connection.client_certificate.clone(),
        encrypted: proxies.encrypted(connection, headers),
        reads: matches!(*request.method(), Method::GET | Method::HEAD),
    }
}

/// The caller's own id for the request, to find it again in its logs. It is only given back.
fn callers_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(&CALLERS_REQUEST_ID)?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:".contains(b);
    let bytes = value.as_bytes();
    if (1..=128).contains(&bytes.len()) && bytes.iter().all(plain) { Some(value.clone()) } else { None }
}
