//! A running gateway and what a test asks of it.

use crate::backend;
use http::{HeaderMap, HeaderValue};
use keywright_domain::{caller::ServiceName, reason::Reason};
use keywright_gateway::{Gateway, Limits, Parts, TrustedProxies, Visit};
use keywright_proto::AuditClass;
use keywright_runtime::{failure::Failure, peer::Peer};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value as Json;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A gateway on a port of its own; it stops with the test.
pub struct Port {
    pub address: SocketAddr,
    pub http: Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

pub fn limits() -> Limits {
    Limits {
        body: 64 * 1024,
        deadline: Duration::from_secs(20),
        keep_alive: Duration::from_millis(20),
        ..Limits::default()
    }
}

pub async fn start() -> Port {
    start_with(limits()).await
}

pub async fn start_with(limits: Limits) -> Port {
    let ready = Arc::new(
        || -> futures_util::future::BoxFuture<'static, Vec<(&'static str, Result<String, String>)>> {
            Box::pin(async {
                vec![
                    ("credential-store", Ok(String::new())),
                    ("key-lifecycle", Err("the secret store is sealed".to_owned())),
                ]
            })
        },
    );
    let (store, lifecycle) = (backend::credential_store(), backend::key_lifecycle());
    let peers = Arc::new(move |name: ServiceName| match name {
        ServiceName::CredentialStore => store.clone(),
        ServiceName::KeyLifecycle => lifecycle.clone(),
        _ => absent(),
    });
    let parts = Parts {
        admit: Arc::new(|visit| Box::pin(async move { admit(&visit) })),
        peers,
        ready,
        limits,
        proxies: TrustedProxies::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = Gateway::new(parts).unwrap();
    let running = tokio::spawn(gateway.serve(listener, None, async move {
        stopped.await.ok();
    }));
    Port { address, http: Client::new(), stop: Some(stop), running }
}

/// As a process that cannot be reached answers.
fn absent() -> Peer {
    Peer::new(tower::service_fn(|_| async {
        Err(tonic::Status::unavailable("connect to 10.0.0.7:4 refused"))
    }))
}

/// Knows two tokens: `good` may do everything, `member` nothing.
fn admit(visit: &Visit) -> Result<HeaderMap, Failure> {
    let mut forwarded = HeaderMap::new();
    forwarded.insert("keywright-request-id", HeaderValue::try_from(&visit.arrival.request_id).unwrap());
    if visit.rule.audit_class == AuditClass::Public {
        return Ok(forwarded);
    }
    match visit.headers.get("authorization").map(HeaderValue::as_bytes) {
        Some(b"Bearer good") => {
            forwarded.insert("authorization", HeaderValue::from_static(backend::SHORT_TOKEN));
            Ok(forwarded)
        }
        Some(b"Bearer member") => {
            Err(Failure::new(Reason::PermissionDenied, "Your role does not allow this."))
        }
        _ => Err(Failure::new(Reason::Unauthenticated, "The token is missing or not valid.")),
    }
}

impl Port {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with the good token.
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).header("authorization", "Bearer good")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Json) -> Response {
        self.ask(Method::POST, path).json(&body).send().await.unwrap()
    }

    /// Asks the gateway to stop and waits until it has.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.running).await.unwrap();
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Status, reason and body of a refusal, which must have the form of every refusal.
pub async fn refusal(response: Response) -> (u16, String, Json) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_common_headers(&response);
    let body: Json = response.json().await.unwrap();
    let info = &body["details"][0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{body}");
    assert_eq!(info["domain"], "keywright");
    let reason = info["reason"].as_str().unwrap().to_owned();
    assert_eq!(info["metadata"]["code"], reason.to_lowercase());
    assert!(!body["message"].as_str().unwrap().is_empty());
    (status, reason, body)
}

pub fn assert_common_headers(response: &Response) {
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert!(header("keywright-request-id").starts_with("req_"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "no-store");
}
