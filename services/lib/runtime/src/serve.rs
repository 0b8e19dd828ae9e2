//! A service on a socket of its own (a role run apart), and the answer to "are you ready?".

use crate::peer::Peer;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::ServiceExt;

/// How long open requests may take after the process was asked to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves gRPC until `stop`, then lets open requests end.
pub async fn serve(peer: Peer, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http2()
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(30))
        .timer(hyper_util::rt::TokioTimer::new());
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, _) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        stream.set_nodelay(true)?;
        let peer = peer.clone();
        let service = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let peer = peer.clone();
            async move {
                let answer = peer.oneshot(request.map(Body::new)).await;
                Ok::<_, std::convert::Infallible>(answer.unwrap_or_else(|status| status.into_http()))
            }
        });
        let connection =
            server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if connection.await.is_err() {
                tracing::debug!("a connection ended early");
            }
        });
    }
    let _late = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    Ok(())
}

/// A built service: what it answers, and what it does by itself until it is told to stop.
pub struct Assembled {
    pub routes: tonic::service::Routes,
    pub tasks: Vec<Task>,
}

/// Work in the background; it ends soon after `stop`.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>> + Send + Sync>;

/// gRPC health that asks what the service needs, each time.
#[derive(Clone)]
pub struct Readiness(Check);

impl Readiness {
    pub fn new<F>(check: impl Fn() -> F + Send + Sync + 'static) -> HealthServer<Self>
    where
        F: Future<Output = Result<(), &'static str>> + Send + 'static,
    {
        HealthServer::new(Self(Arc::new(move || Box::pin(check()))))
    }
}

#[tonic::async_trait]
impl Health for Readiness {
    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        match (self.0)().await {
            Ok(()) => Ok(tonic::Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() })),
            Err(missing) => Err(tonic::Status::unavailable(missing)),
        }
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, tonic::Status>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        Err(tonic::Status::unimplemented("ask Check"))
    }
}

/// Asks a service whether it is ready.
pub async fn ready(peer: Peer) -> Result<(), String> {
    let mut client = tonic_health::pb::health_client::HealthClient::new(peer);
    let asked = client.check(HealthCheckRequest::default());
    match tokio::time::timeout(Duration::from_secs(3), asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}
