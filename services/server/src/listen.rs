//! The sockets: where to listen, with which certificates, and how the other roles are reached.

use crate::args::{Settings, TlsSettings};
use crate::error::StartError;
use crate::installation::Installation;
use keywright_domain::caller::ServiceName;
use keywright_runtime::peer;
use keywright_runtime::tls::{Tls, TlsFiles};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A bound socket and its certificates.
pub struct Listening {
    pub listener: TcpListener,
    pub tls: Option<Tls>,
}

/// The socket of `--listen`.
pub async fn listen(settings: &Settings) -> Result<Listening, StartError> {
    let tls = tls(&settings.tls)?;
    let listener = bind(settings.listen, tls.is_some()).await?;
    Ok(Listening { listener, tls })
}

/// The socket for programs of the platform, where one is asked for; with the same certificates as the other.
pub async fn listen_inside(settings: &Settings, tls: Option<&Tls>) -> Result<Option<Listening>, StartError> {
    let Some(address) = settings.internal_listen else { return Ok(None) };
    let listener = bind(address, tls.is_some()).await?;
    Ok(Some(Listening { listener, tls: tls.cloned() }))
}

async fn bind(address: SocketAddr, encrypted: bool) -> Result<TcpListener, StartError> {
    if !encrypted && !address.ip().is_loopback() {
        return Err(StartError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn tls(settings: &TlsSettings) -> Result<Option<Tls>, StartError> {
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_ca: settings.client_ca.clone(),
    };
    Ok(Some(Tls::load(files)?))
}

/// Fills the places of the roles that run elsewhere.
pub fn reach_others(at: &Installation, settings: &Settings, own: ServiceName) -> Result<(), StartError> {
    let peers = &settings.peers;
    let ca = peers
        .peer_ca
        .as_ref()
        .map(|path| std::fs::read(path).map_err(|source| StartError::File { path: path.clone(), source }));
    let ca = ca.transpose()?;
    for (name, url) in [
        (ServiceName::CredentialStore, &peers.credential_store_url),
        (ServiceName::KeyLifecycle, &peers.key_lifecycle_url),
        (ServiceName::ConnectivityProbe, &peers.connectivity_probe_url),
        (ServiceName::Audit, &peers.audit_url),
    ] {
        if name != own {
            let peer = peer::remote(url, ca.as_deref()).map_err(|_| StartError::Peer(url.clone()))?;
            at.peers.set(name, peer);
        }
    }
    Ok(())
}
