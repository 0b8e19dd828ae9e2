//! A connection to an address that somebody gave, in TLS or plain.
//!
//! Invariant: the name is resolved once and every address is checked; what is dialled is a checked number; in TLS the
//! certificate is one of the name that was given.

use ipnet::IpNet;
use keywright_ssh::{Dialer, FailureCode, Resolved, Stream, Target, TargetRules, Timeouts};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// A connection's bytes, encrypted or not.
pub type Line = Either<Stream, Box<TlsStream<Stream>>>;

/// Opens connections under one set of rules. Cheap to clone.
#[derive(Clone)]
pub struct Lines {
    dialer: Dialer,
    /// Authorities that are trusted besides those of this machine.
    authorities: Arc<[CertificateDer<'static>]>,
    tls: Arc<OnceLock<ClientConfig>>,
}

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("{0} does not hold a certificate in PEM, or cannot be read")]
    Authority(PathBuf),
}

impl Lines {
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer, authorities: Arc::from([]), tls: Arc::default() }
    }

    /// To every address but those that are never dialled (link-local, cloud metadata, multicast), these networks, and
    /// Keywright's own listeners: for places that whoever runs the server named.
    pub fn anywhere_but(deny: Vec<IpNet>, own_listeners: Vec<SocketAddr>) -> Self {
        let rules = TargetRules { deny, own_listeners, allow_loopback: true, ..TargetRules::default() };
        Self::new(Dialer::new(Arc::new(rules), Timeouts::default()))
    }

    /// Certificates of these authorities (PEM) are trusted too.
    pub fn trusting(self, file: &Path) -> Result<Self, LineError> {
        let failed = || LineError::Authority(file.to_owned());
        let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|_| failed())?.collect();
        let found = found.ok().filter(|found| !found.is_empty()).ok_or_else(failed)?;
        Ok(Self { authorities: Arc::from(found), ..self })
    }

    /// The addresses of a target, each of which may be dialled.
    pub async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, &'static str> {
        Ok(self.resolve(target).await?.addresses().to_vec())
    }

    /// A connection in TLS, which speaks one of `protocols` (ALPN) where any are named; or why there is none.
    pub async fn encrypted(&self, target: &Target, protocols: &[&[u8]]) -> Result<Line, &'static str> {
        let resolved = self.resolve(target).await?;
        let socket = self.dial(&resolved).await?;
        let name = ServerName::try_from(target.host.clone()).map_err(|_| "its name is no host name")?;
        let mut config = self.tls()?.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        let stream = connected.map_err(|_| "its TLS certificate is not trusted, or TLS failed")?;
        Ok(Either::Right(Box::new(stream)))
    }

    pub async fn plain(&self, target: &Target) -> Result<Line, &'static str> {
        let resolved = self.resolve(target).await?;
        Ok(Either::Left(self.dial(&resolved).await?))
    }

    /// Plain, and to this machine alone; `refusal` for anybody else.
    pub async fn plain_to_loopback(
        &self,
        target: &Target,
        refusal: &'static str,
    ) -> Result<Line, &'static str> {
        let resolved = self.resolve(target).await?;
        if !resolved.addresses().iter().all(|address| address.ip().is_loopback()) {
            return Err(refusal);
        }
        Ok(Either::Left(self.dial(&resolved).await?))
    }

    async fn resolve(&self, target: &Target) -> Result<Resolved, &'static str> {
        Ok(self.dialer.resolve(target).await.map_err(|failure| why(failure.code))?.value)
    }

    async fn dial(&self, resolved: &Resolved) -> Result<Stream, &'static str> {
        let dialed = self.dialer.dial(resolved).await;
        let dialed = dialed.map_err(|error| error.failure().map_or(UNMADE, |it| why(it.code)))?;
        Ok(dialed.value.into_socket())
    }

    fn tls(&self) -> Result<&ClientConfig, &'static str> {
        if let Some(config) = self.tls.get() {
            return Ok(config);
        }
        const UNUSABLE: &str = "TLS cannot be set up; is there a store of certificates on this machine?";
        let provider = Arc::new(default_provider());
        let verifier = Verifier::new_with_extra_roots(self.authorities.iter().cloned(), provider.clone())
            .map_err(|_| UNUSABLE)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| UNUSABLE)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(self.tls.get_or_init(|| config))
    }
}

pub(crate) const NOT_ALLOWED: &str = "its address may not be dialled from here";
const UNMADE: &str = "no connection";

const fn why(code: FailureCode) -> &'static str {
    match code {
        FailureCode::TargetNotAllowed => NOT_ALLOWED,
        FailureCode::HostResolutionFailed => "its name is not known",
        FailureCode::ConnectionRefused => "the connection was refused",
        FailureCode::ConnectTimeout => "no connection in time",
        _ => UNMADE,
    }
}
