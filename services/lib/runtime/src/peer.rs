//! Peers: another service, in the same process or behind a socket, through the same stack.

use keywright_domain::caller::ServiceName;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tracing::Instrument;

/// A gRPC service, wherever it runs.
pub type Peer = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, tonic::Status>;

/// Another process. `ca`: whose certificate it shows, in PEM, where its URL is `https`.
pub fn remote(url: &str, ca: Option<&[u8]>) -> Result<Peer, tonic::transport::Error> {
    let mut endpoint = Endpoint::from_shared(url.to_owned())?;
    if let Some(ca) = ca.filter(|_| url.starts_with("https:")) {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)))?;
    }
    let channel: Channel =
        endpoint.connect_timeout(std::time::Duration::from_secs(5)).tcp_nodelay(true).connect_lazy();
    Ok(Peer::new(channel.map_err(|error: tonic::transport::Error| {
        let mut status = tonic::Status::unavailable("the service could not be reached");
        status.set_source(Arc::new(error));
        status
    })))
}

/// All services by name. Services call each other in circles (the store asks the lifecycle which asks the store), so
/// the places are made first and filled once everything is built.
#[derive(Clone, Default)]
pub struct Peers {
    places: Arc<HashMap<&'static str, OnceLock<Peer>>>,
}

impl Peers {
    pub fn new() -> Self {
        let places = ServiceName::ALL.iter().map(|name| (name.as_str(), OnceLock::new())).collect();
        Self { places: Arc::new(places) }
    }

    /// Fills one place, once.
    pub fn set(&self, name: ServiceName, peer: Peer) {
        if let Some(place) = self.places.get(name.as_str()) {
            let _already = place.set(peer);
        }
    }

    /// The peer; until its place is filled a call answers UNAVAILABLE. What it does is a task of its own that ends with
    /// the call: services call each other in circles, and each of them begins with a stack of its own.
    pub fn get(&self, name: ServiceName) -> Peer {
        let places = self.places.clone();
        Peer::new(tower::service_fn(move |request: http::Request<Body>| {
            let peer = places.get(name.as_str()).and_then(OnceLock::get).cloned();
            async move {
                let Some(peer) = peer else {
                    return Err(tonic::Status::unavailable("the service is starting"));
                };
                let answer = tokio::spawn(peer.oneshot(request).in_current_span());
                let failed = |_| Err(tonic::Status::internal("the service failed"));
                AbortOnDropHandle::new(answer).await.unwrap_or_else(failed)
            }
        }))
    }
}
