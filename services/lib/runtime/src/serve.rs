//! A service on a socket of its own (a role run apart), and the answer to "are you ready?".

use crate::failure::Failure;
use crate::peer::{Peer, Peers};
use crate::rules::service_of;
use crate::tls::{self, Stream, Tls};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use keywright_domain::caller::ServiceName;
use keywright_domain::reason::Reason;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::ServiceExt;

/// How long open requests may take after the process was asked to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Open connections; further ones wait to be accepted.
const CONNECTIONS: usize = 4096;

/// Serves gRPC until `stop`, then lets open requests end.
pub async fn serve(
    peer: Peer,
    listener: TcpListener,
    tls: Option<Tls>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http2()
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(30))
        .timer(hyper_util::rt::TokioTimer::new());
    server.http1().timer(hyper_util::rt::TokioTimer::new());
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.map_err(std::io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            Ok::<_, std::io::Error>((stream, slot))
        };
        let (stream, slot) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        stream.set_nodelay(true).ok();
        let (peer, tls, server, watcher) = (peer.clone(), tls.clone(), server.clone(), graceful.watcher());
        let stop = stop.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let Ok((stream, connection)) = tls::open(tls.as_ref(), stream, &stop).await else {
                tracing::debug!("a connection was not opened");
                return;
            };
            if watcher.watch(connected(&server, peer, stream, connection)).await.is_err() {
                tracing::debug!("a connection ended early");
            }
        });
    }
    let _late = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    Ok(())
}

fn connected(
    server: &auto::Builder<TokioExecutor>,
    peer: Peer,
    stream: Stream,
    connection: tls::Connection,
) -> impl GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>> {
    let service = tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let peer = peer.clone();
        request.extensions_mut().insert(connection.clone());
        async move {
            let answer = peer.oneshot(request.map(Body::new)).await;
            Ok::<_, std::convert::Infallible>(answer.unwrap_or_else(|status| status.into_http()))
        }
    });
    server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned()
}

/// All services behind one port, told apart by the package of the RPC. For programs of the platform.
pub fn by_package(peers: Peers) -> Peer {
    Peer::new(tower::service_fn(move |request: http::Request<Body>| {
        let package = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let package = package.rsplit_once('.').map(|(package, _)| package).unwrap_or_default();
        let peer = match package {
            // The first that everything else asks.
            "grpc.health.v1" => Some(peers.get(ServiceName::CredentialStore)),
            _ => service_of(package).map(|name| peers.get(name)),
        };
        async move {
            match peer {
                Some(peer) => peer.oneshot(request).await,
                None => Err(Failure::new(Reason::RouteNotFound, "There is no such RPC.").to_status()),
            }
        }
    }))
}

/// A built service: what it answers, and what it does by itself until it is told to stop.
pub struct Assembled {
    pub routes: tonic::service::Routes,
    pub tasks: Vec<Task>,
}

/// Work in the background; it ends soon after `stop`.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a service that is ready has to say all the same, as metadata of its answer.
const NOTE: &str = "keywright-note";

/// Ready, with something to say or nothing (empty); or what is missing.
type Ready = Result<&'static str, &'static str>;

type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Ready> + Send>> + Send + Sync>;

/// gRPC health that asks what the service needs, each time.
#[derive(Clone)]
pub struct Readiness(Check);

impl Readiness {
    pub fn new<F>(check: impl Fn() -> F + Send + Sync + 'static) -> HealthServer<Self>
    where
        F: Future<Output = Result<(), &'static str>> + Send + 'static,
    {
        let check = Arc::new(check);
        Self::noting(move || {
            let check = check.clone();
            async move { check().await.map(|()| "") }
        })
    }

    /// The same for a service that can be ready and still have something to say.
    pub fn noting<F>(check: impl Fn() -> F + Send + Sync + 'static) -> HealthServer<Self>
    where
        F: Future<Output = Ready> + Send + 'static,
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
            Ok(note) => {
                let status = ServingStatus::Serving.into();
                let mut answer = tonic::Response::new(HealthCheckResponse { status });
                if !note.is_empty() {
                    answer.metadata_mut().insert(NOTE, MetadataValue::from_static(note));
                }
                Ok(answer)
            }
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

/// Asks a service whether it is ready; what it has to say then is mostly nothing.
pub async fn ready(peer: Peer) -> Result<String, String> {
    let mut client = tonic_health::pb::health_client::HealthClient::new(peer);
    let asked = client.check(HealthCheckRequest::default());
    match tokio::time::timeout(Duration::from_secs(3), asked).await {
        Ok(Ok(answer)) => {
            let note = answer.metadata().get(NOTE).and_then(|note| note.to_str().ok());
            Ok(note.unwrap_or_default().to_owned())
        }
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}
