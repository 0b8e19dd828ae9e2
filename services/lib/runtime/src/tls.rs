//! TLS of a listener, and what a connection says of its other end: the address, and the client's certificate where
//! one was asked for, shown and verified.
//!
//! Invariant: a certificate that does not verify ends the handshake; only a verified one is ever reported.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

/// A handshake must be done after so long.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where the certificates are, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's own, its chain after it.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Whose client certificates are accepted; none: they are not asked for.
    pub client_ca: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} does not hold {what} in PEM, or cannot be read")]
    File { path: PathBuf, what: &'static str },
    #[error("the TLS certificate and its key cannot be used together")]
    Unusable(#[source] rustls::Error),
    #[error("the certificate authority of the clients cannot be used")]
    ClientCa,
}

/// A connection's bytes, encrypted or not.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What a connection says of its other end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    pub source_ip: String,
    pub encrypted: bool,
    /// SHA-256 of the verified client certificate's DER form in hexadecimal; empty for none.
    pub client_certificate: String,
}

/// The certificates in use. Cheap to clone; [`Tls::reload`] reaches every clone.
#[derive(Clone)]
pub struct Tls {
    files: Arc<TlsFiles>,
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = Arc::new(RwLock::new(Arc::new(configure(&files)?)));
        Ok(Self { files: Arc::new(files), config })
    }

    /// Reads the files again; what cannot be used leaves the old ones in use. Open connections keep theirs.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = Arc::new(configure(&self.files)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Opens a connection that was accepted: the handshake, where there is TLS. One that is not done at `stop` is cut off.
pub async fn open(
    tls: Option<&Tls>,
    stream: TcpStream,
    stop: &CancellationToken,
) -> io::Result<(Stream, Connection)> {
    let source_ip = stream.peer_addr()?.ip().to_canonical().to_string();
    let Some(tls) = tls else {
        return Ok((Either::Left(stream), Connection { source_ip, ..Connection::default() }));
    };
    let stream = tokio::select! {
        () = stop.cancelled() => return Err(io::ErrorKind::Interrupted.into()),
        () = tokio::time::sleep(HANDSHAKE) => return Err(io::ErrorKind::TimedOut.into()),
        opened = tls.acceptor().accept(stream) => opened?,
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let client_certificate = shown.map(|der| fingerprint(der)).unwrap_or_default();
    let connection = Connection { source_ip, encrypted: true, client_certificate };
    Ok((Either::Right(Box::new(stream)), connection))
}

/// SHA-256 of a certificate's DER form, in hexadecimal.
pub fn fingerprint(der: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, der).as_ref())
}

fn configure(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|_| TlsError::ClientCa)?;
            }
            // Not required: people come with a token alone.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|_| TlsError::ClientCa)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|_| TlsError::File { path: files.key.clone(), what: "a private key" })?;
    let mut config =
        builder.with_single_cert(certificates(&files.certificate)?, key).map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = || TlsError::File { path: path.to_owned(), what: "a certificate" };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|_| failed())?.collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(failed)
}
