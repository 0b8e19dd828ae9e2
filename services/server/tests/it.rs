//! The process itself: how it starts, what it refuses, how it ends, what it sends to a collector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use keywright_kit::{Keywright, KeywrightOptions, eventually};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

fn server(arguments: &[&str]) -> std::process::Output {
    let binary =
        std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("keywright-server");
    Command::new(binary).args(arguments).output().unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_first_start_makes_private_files_and_a_token_that_works() {
    let mut keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    assert_eq!(mode(&keywright.data_dir()), 0o700);
    for file in [
        "operator.token",
        "keys/issuer.key",
        "keys/audit.key",
        "keys/idempotency.key",
        "keys/key-encryption.key",
    ] {
        assert_eq!(mode(&keywright.data_dir().join(file)), 0o600, "{file}");
    }
    let who = keywright.get("/api/whoami").await.success();
    assert_eq!((who["role"].as_str(), who["kind"].as_str()), (Some("operator"), Some("user")));

    let token = keywright.operator_token();
    assert_eq!(keywright.terminate().await, 0);
    keywright.restart().await.unwrap();
    assert_eq!(keywright.operator_token(), token, "a second start makes no second operator");
    keywright.get("/api/whoami").await.success();
    keywright.kill9().await;
    keywright.restart().await.unwrap();
    keywright.get("/api/whoami").await.success();
}

#[test]
fn a_listener_beyond_loopback_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let refused = server(&["--data-dir", data.to_str().unwrap(), "--listen", "0.0.0.0:0"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not a loopback address"));
}

#[test]
fn a_data_directory_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = server(&["--data-dir", dir.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chmod 700"));
}

#[test]
fn a_place_that_the_log_cannot_be_forwarded_to_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let refused = |arguments: &[&str]| {
        let common = ["--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let refused = server(&[&common[..], arguments].concat());
        assert!(!refused.status.success());
        String::from_utf8(refused.stderr).unwrap()
    };
    let no_scheme = refused(&["--audit-forward", "otlp://127.0.0.1:4317,siem.example:514"]);
    assert!(no_scheme.contains("must be syslog+tcp://host:port"), "{no_scheme}");
    let no_secret = refused(&["--audit-checkpoint-webhook", "https://hooks.example/x"]);
    assert!(no_secret.contains("needs --audit-forward-secret-file"), "{no_secret}");
    let no_file = refused(&["--audit-forward-ca", "/nowhere/ca.pem"]);
    assert!(no_file.contains("--audit-forward-ca: /nowhere/ca.pem does not hold"), "{no_file}");
}

#[test]
fn init_makes_the_first_operator_once() {
    let dir = tempfile::tempdir().unwrap();
    let (data, token) = (dir.path().join("data"), dir.path().join("first.token"));
    let arguments = ["init", "--data-dir", data.to_str().unwrap(), "--token-out", token.to_str().unwrap()];
    assert!(server(&arguments).status.success());
    assert_eq!(mode(&token), 0o600);
    let again = server(&arguments);
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("there is an operator already"));
}

/// A span as a collector sees it: its trace id, and its name with all attributes.
type Span = (Vec<u8>, String);

/// Keeps what an OTLP collector receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let spans =
            request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
        for span in spans {
            let text = format!("{} {:?}", span.name, span.attributes);
            self.0.lock().unwrap().push((span.trace_id, text));
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

#[tokio::test]
async fn one_request_is_one_trace_through_every_service_and_carries_no_content() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let serving = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(incoming);
    let serving = tokio::spawn(serving);
    let keywright =
        Keywright::start(KeywrightOptions::default().arg("--otlp-endpoint").arg(endpoint)).await.unwrap();

    keywright.post("/api/tenants", json!({"name": "canary-in-a-name"})).await.success();

    let traced = eventually(LIMIT, async || {
        let spans = collector.0.lock().unwrap().clone();
        let traces = spans.iter().filter(|(_, text)| text.contains("CreateTenant")).map(|(trace, _)| trace);
        traces.collect::<BTreeSet<_>>().into_iter().any(|trace| {
            let of_trace: Vec<_> =
                spans.iter().filter(|(of, _)| of == trace).map(|(_, text)| text.as_str()).collect();
            ["credential-store", "\"audit\"", "RecordIntent"]
                .iter()
                .all(|s| of_trace.iter().any(|t| t.contains(s)))
        })
    })
    .await;
    assert!(traced, "{:#?}", collector.0.lock().unwrap());
    let seen = format!("{:?}", collector.0.lock().unwrap());
    assert!(!seen.contains("canary-in-a-name") && !seen.contains(&keywright.operator_token()));
    serving.abort();
}
