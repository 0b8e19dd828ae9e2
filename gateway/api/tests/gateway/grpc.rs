//! gRPC and grpc-web through the same port.

use crate::port::{Port, refusal, start};
use keywright_proto::{
    credential::{
        CreateTenantRequest, GetTenantRequest, GetTenantResponse, ReleaseVersionRequest,
        release_service_client::ReleaseServiceClient, tenant_service_client::TenantServiceClient,
    },
    lifecycle::{WatchRotationRequest, rotation_service_client::RotationServiceClient},
};
use prost::Message;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt;

async fn channel(port: &Port) -> Channel {
    Channel::from_shared(port.url("")).unwrap().connect().await.unwrap()
}

fn with_token<T>(token: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    request.metadata_mut().insert("cookie", "session=theirs".parse().unwrap());
    request
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn get(id: &str) -> GetTenantRequest {
    GetTenantRequest { tenant_id: id.to_owned() }
}

#[tokio::test]
async fn a_generated_client_calls_through_the_port() {
    let port = start().await;
    let mut tenants = TenantServiceClient::new(channel(&port).await);
    let response = tenants.get_tenant(with_token("Bearer good", get("ten_1"))).await.unwrap();
    assert!(response.metadata().get("keywright-request-id").unwrap().to_str().unwrap().starts_with("req_"));
    assert_eq!(response.into_inner().tenant.unwrap().id, "ten_1");

    for (token, id, code, expected) in [
        ("Bearer bad", "ten_1", Code::Unauthenticated, "UNAUTHENTICATED"),
        ("Bearer member", "ten_1", Code::PermissionDenied, "PERMISSION_DENIED"),
        ("Bearer good", "x", Code::NotFound, "TENANT_NOT_FOUND"),
        ("Bearer good", "ten_broken", Code::Internal, "INTERNAL"),
    ] {
        let status = tenants.get_tenant(with_token(token, get(id))).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{id}");
        assert!(!status.message().contains("10.0.0.7"));
    }
    let large = CreateTenantRequest { name: "x".repeat(70_000), ..CreateTenantRequest::default() };
    let status = tenants.create_tenant(with_token("Bearer good", large)).await.unwrap_err();
    assert_eq!(reason(&status), "PAYLOAD_TOO_LARGE");
    let mut late = with_token("Bearer good", get("ten_slow"));
    late.set_timeout(std::time::Duration::from_millis(50));
    let status = tenants.get_tenant(late).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
}

#[tokio::test]
async fn internal_rpcs_do_not_exist_here() {
    let port = start().await;
    let mut release = ReleaseServiceClient::new(channel(&port).await);
    let status = release
        .release_version(with_token("Bearer good", ReleaseVersionRequest::default()))
        .await
        .unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "ROUTE_NOT_FOUND"));
}

#[tokio::test]
async fn a_watch_streams_and_ends_with_the_gateway() {
    let port = start().await;
    let mut rotations = RotationServiceClient::new(channel(&port).await);
    let watch = |id: &str| with_token("Bearer good", WatchRotationRequest { rotation_id: id.to_owned() });
    let mut done = rotations.watch_rotation(watch("rot_done")).await.unwrap().into_inner();
    let mut snapshots = 0;
    while done.message().await.unwrap().is_some() {
        snapshots += 1;
    }
    assert_eq!(snapshots, 2);
    let mut quiet = rotations.watch_rotation(watch("rot_quiet")).await.unwrap().into_inner();
    assert!(quiet.message().await.unwrap().is_some());
    let stopping = tokio::spawn(port.stop());
    assert_eq!(quiet.message().await.unwrap_err().code(), Code::Unavailable);
    stopping.await.unwrap();
}

/// Sends one grpc-web message; answers the messages and the trailers.
async fn grpc_web(port: &Port, path: &str, token: &str, message: &[u8]) -> (Vec<Vec<u8>>, String) {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let request = port.http.post(port.url(path)).header("authorization", token);
    let response =
        request.header("content-type", "application/grpc-web+proto").body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["keywright-request-id"].to_str().unwrap().starts_with("req_"));
    let head = ["grpc-status", "grpc-message"].map(|name| {
        response
            .headers()
            .get(name)
            .map(|v| format!("{name}:{}\r\n", v.to_str().unwrap()))
            .unwrap_or_default()
    });
    let (mut messages, mut trailers) = (Vec::new(), head.concat());
    let bytes = response.bytes().await.unwrap();
    let mut rest = bytes.as_ref();
    while let [flag, a, b, c, d, tail @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (frame, next) = tail.split_at(length);
        if flag & 0x80 == 0 {
            messages.push(frame.to_vec());
        } else {
            trailers.push_str(std::str::from_utf8(frame).unwrap());
        }
        rest = next;
    }
    (messages, trailers)
}

#[tokio::test]
async fn a_browser_calls_by_grpc_web() {
    let port = start().await;
    let path = "/keywright.credential.v1.TenantService/GetTenant";
    let (messages, trailers) = grpc_web(&port, path, "Bearer good", &get("ten_1").encode_to_vec()).await;
    let answer = GetTenantResponse::decode(messages[0].as_slice()).unwrap();
    assert_eq!(answer.tenant.unwrap().id, "ten_1");
    assert!(trailers.contains("grpc-status:0"), "{trailers}");
    for (path, token, code) in [
        (path, "Bearer bad", 16),
        (path, "Bearer member", 7),
        ("/keywright.credential.v1.ReleaseService/ReleaseVersion", "Bearer good", 12),
        ("/no.such.Service/Method", "Bearer good", 12),
    ] {
        let (messages, trailers) = grpc_web(&port, path, token, &[]).await;
        assert!(messages.is_empty());
        assert!(trailers.contains(&format!("grpc-status:{code}")), "{path}: {trailers}");
    }
}

#[tokio::test]
async fn what_is_not_quite_grpc_is_told_so() {
    let port = start().await;
    let path = port.url("/keywright.credential.v1.TenantService/GetTenant");
    let old = port.http.post(&path).header("content-type", "application/grpc").send().await.unwrap();
    assert_eq!(old.version(), reqwest::Version::HTTP_11);
    assert_eq!(refusal(old).await.0, 400);
    let get = port.http.get(&path).header("content-type", "application/grpc-web").send().await.unwrap();
    assert_eq!(refusal(get).await.0, 405);
}

#[tokio::test]
async fn health_says_which_service_can_work() {
    let port = start().await;
    let mut health = HealthClient::new(channel(&port).await);
    let mut ask = async |name: &str| health.check(HealthCheckRequest { service: name.to_owned() }).await;
    let status = async |answer: Result<tonic::Response<tonic_health::pb::HealthCheckResponse>, Status>| {
        answer.unwrap().into_inner().status().as_str_name().to_owned()
    };
    assert_eq!(status(ask("").await).await, "NOT_SERVING");
    assert_eq!(status(ask("keywright.credential.v1.TenantService").await).await, "SERVING");
    assert_eq!(status(ask("keywright.lifecycle.v1.RotationService").await).await, "NOT_SERVING");
    assert_eq!(ask("no.such.Service").await.unwrap_err().code(), Code::NotFound);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status().as_str_name(), "NOT_SERVING");
}

#[tokio::test]
async fn reflection_lists_the_public_services() {
    let port = start().await;
    let mut reflection = ServerReflectionClient::new(channel(&port).await);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(tokio_stream::iter([ask])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["keywright.credential.v1.TenantService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|listed| listed == name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.ends_with(".CustodyService") || name.ends_with(".ResolveService")));
}
