//! The port: HTTP/1.1 and HTTP/2 on one listener, with TLS or without, and its drain.

use crate::{
    body::Body,
    crowd::Crowd,
    front::{self, Shared},
    health::{Builtin, Ready},
    openapi,
    ports::Parts,
    routes::{RouteError, Table},
};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use keywright_proto::pool;
use keywright_runtime::tls::{self, Connection, Stream, Tls};
use std::{
    convert::Infallible,
    future::Future,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// A request's head must be complete after so long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A new connection must have asked something after so long.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
const PING_EVERY: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 200;
const MAX_HEADERS: u32 = 32 * 1024;
/// After a failed accept (no file descriptors left), some connections may have ended.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("the contract cannot be served")]
    Routes(#[from] RouteError),
    #[error("the contract cannot be shown by reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// The gateway, ready to listen.
pub struct Gateway {
    shared: Arc<Shared>,
}

impl Gateway {
    pub fn new(parts: Parts) -> Result<Self, GatewayError> {
        let table = Table::new(pool())?;
        let ready = Ready::new(parts.ready.clone());
        let closing = CancellationToken::new();
        let builtin = Builtin::new(ready.clone(), closing.clone())?;
        let openapi = openapi::document(&table).to_string().into();
        Ok(Self {
            shared: Arc::new(Shared {
                room: Semaphore::new(parts.limits.requests),
                table,
                parts,
                ready,
                builtin,
                openapi,
                closing,
            }),
        })
    }

    /// Answers on `listener` until `shutdown` is done; then takes no new request, ends watches, and lets the others
    /// finish within the drain time.
    pub async fn serve(self, listener: TcpListener, tls: Option<Tls>, shutdown: impl Future<Output = ()>) {
        let limits = self.shared.parts.limits;
        let slots = Arc::new(Semaphore::new(limits.connections));
        let crowd = Crowd::new(limits.source_connections);
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_ended) = connections.join_next() => continue,
                accepted = accept(&listener, &slots) => accepted,
            };
            let Some((slot, stream, source)) = accepted else {
                sleep(ACCEPT_AGAIN).await;
                continue;
            };
            // A trusted proxy carries many; whom it carries is counted by request.
            let seat = crowd.seat(source);
            if seat.is_none() && !self.shared.parts.proxies.trusts(source) {
                tracing::debug!("a source holds as many connections as one may");
                continue;
            }
            let (shared, tls, watcher) = (self.shared.clone(), tls.clone(), graceful.watcher());
            connections.spawn(async move {
                match tls::open(tls.as_ref(), stream, &shared.closing).await {
                    Ok((stream, peer)) => connection(shared, stream, peer, watcher).await,
                    Err(_) => tracing::debug!("a connection was not opened"),
                }
                drop((slot, seat));
            });
        }
        drop(listener);
        self.shared.closing.cancel();
        if timeout(limits.drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were cut off at the end of the drain time");
        }
        connections.shutdown().await;
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(tokio::sync::OwnedSemaphorePermit, TcpStream, IpAddr)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    let (stream, source) = listener.accept().await.ok()?;
    // Without it an answer in two writes waits for an acknowledgement in between.
    stream.set_nodelay(true).ok();
    Some((slot, stream, source.ip().to_canonical()))
}

/// One connection, to its end.
async fn connection(shared: Arc<Shared>, stream: Stream, peer: Connection, watcher: Watcher) {
    let asked = Arc::new(AtomicBool::new(false));
    let mark = asked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        mark.store(true, Ordering::Relaxed);
        let (shared, peer) = (shared.clone(), peer.clone());
        async move { Ok::<_, Infallible>(front::answer(shared, &peer, request.map(Body::new)).await) }
    });
    let connection = builder().serve_connection(TokioIo::new(stream), service).into_owned();
    let silent = async {
        sleep(FIRST_REQUEST).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = watcher.watch(connection) => if ended.is_err() {
            tracing::debug!("a connection ended early");
        },
        () = silent => {}
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .keep_alive_interval(PING_EVERY);
    builder
}
