//! An HTTPS POST to an address that somebody gave: the rules of every target hold, no redirect is followed, and of the
//! answer only the status is read.
//!
//! Invariant: the name is resolved once and every address is checked; what is dialled is a checked number.

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use keywright_ssh::{Dialer, FailureCode, Resolved, Target};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

const LONGEST_URL: usize = 2_048;
/// The head of an answer; its body is never read.
const LARGEST_HEAD: usize = 64 * 1024;

/// A webhook's URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    encrypted: bool,
    target: Target,
    /// As the `host` header says it.
    authority: String,
    path: String,
}

impl Endpoint {
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        if url.len() > LONGEST_URL {
            return Err("must have at most 2048 characters");
        }
        let uri: Uri = url.parse().map_err(|_| "must be an https:// URL")?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("must be an https:// URL"),
        };
        let authority = uri.authority().ok_or("must be an https:// URL")?;
        if authority.as_str().contains('@') || url.contains('#') {
            return Err("must be without user information and fragment");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("must name a host");
        }
        let port = authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            encrypted,
            target: Target::new(host.to_owned(), port),
            authority: authority.as_str().to_owned(),
            path: path.to_owned(),
        })
    }

    /// Where it is, without what may be a secret: many receivers know their senders by the path alone.
    pub fn origin(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

/// What is sent.
#[derive(Debug)]
pub struct Post<'a> {
    pub id: &'a str,
    /// Seconds since the epoch.
    pub timestamp: i64,
    pub signature: &'a str,
    pub body: Vec<u8>,
}

#[derive(Clone)]
pub struct Webhooks {
    dialer: Dialer,
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Webhooks {
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer, tls: Arc::default() }
    }

    /// TARGET_NOT_ALLOWED where the rules forbid it now; a name that nobody knows yet may be known later.
    pub async fn check(&self, endpoint: &Endpoint) -> Result<(), Failure> {
        match self.resolve(endpoint).await {
            Err(NOT_ALLOWED) => Err(Failure::new(
                Reason::TargetNotAllowed,
                "The webhook's address may not be dialled from here.",
            )),
            Err(_) if !endpoint.encrypted => Err(Failure::violation("address", PLAIN)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn resolve(&self, endpoint: &Endpoint) -> Result<Resolved, &'static str> {
        let resolved =
            self.dialer.resolve(&endpoint.target).await.map_err(|failure| why(failure.code))?.value;
        let loopback = resolved.addresses().iter().all(|address| address.ip().is_loopback());
        if endpoint.encrypted || loopback { Ok(resolved) } else { Err(PLAIN) }
    }

    /// The status of the answer, or why there is none.
    pub async fn post(&self, endpoint: &Endpoint, post: Post<'_>) -> Result<u16, &'static str> {
        let resolved = self.resolve(endpoint).await?;
        let dialed = self
            .dialer
            .dial(&resolved)
            .await
            .map_err(|error| error.failure().map_or(UNMADE, |it| why(it.code)))?
            .value;
        let request = request(endpoint, post).ok_or("the request could not be made")?;
        let socket = dialed.into_socket();
        if !endpoint.encrypted {
            return exchange(socket, request).await;
        }
        let name =
            ServerName::try_from(endpoint.target.host.clone()).map_err(|_| "its name is no host name")?;
        let connected = TlsConnector::from(self.tls()?).connect(name, socket).await;
        exchange(connected.map_err(|_| "its TLS certificate is not trusted, or TLS failed")?, request).await
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, &'static str> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|_| "TLS cannot be set up; is there a store of certificates on this machine?")?
            .with_no_client_auth();
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(config))))
    }
}

const NOT_ALLOWED: &str = "its address may not be dialled from here";
const UNMADE: &str = "no connection";
const PLAIN: &str = "must be an https:// URL: plain http is for this machine alone";

const fn why(code: FailureCode) -> &'static str {
    match code {
        FailureCode::TargetNotAllowed => NOT_ALLOWED,
        FailureCode::HostResolutionFailed => "its name is not known",
        FailureCode::ConnectionRefused => "the connection was refused",
        FailureCode::ConnectTimeout => "no connection in time",
        _ => UNMADE,
    }
}

fn request(endpoint: &Endpoint, post: Post<'_>) -> Option<Request<Full<Bytes>>> {
    Request::post(&endpoint.path)
        .header(header::HOST, &endpoint.authority)
        .header(header::USER_AGENT, concat!("keywright/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .header("webhook-id", post.id)
        .header("webhook-timestamp", post.timestamp)
        .header("webhook-signature", post.signature)
        .body(Full::new(Bytes::from(post.body)))
        .ok()
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<u16, &'static str>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(LARGEST_HEAD).max_headers(100);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|_| "no answer in HTTP")?;
    let answer = pin!(sender.send_request(request));
    let answer = match futures_util::future::select(answer, pin!(connection)).await {
        futures_util::future::Either::Left((answer, _)) => answer,
        futures_util::future::Either::Right((_, answer)) => answer.await,
    };
    Ok(answer.map_err(|_| "no answer in HTTP")?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let parsed = Endpoint::parse("https://hooks.example/a/b?c=d").unwrap();
        assert_eq!(
            (parsed.target.host.as_str(), parsed.target.port, parsed.encrypted),
            ("hooks.example", 443, true)
        );
        assert_eq!((parsed.authority.as_str(), parsed.path.as_str()), ("hooks.example", "/a/b?c=d"));
        let plain = Endpoint::parse("http://[::1]:8080").unwrap();
        assert_eq!((plain.target.host.as_str(), plain.target.port, plain.path.as_str()), ("::1", 8080, "/"));
    }

    #[test]
    fn what_is_no_webhook_is_refused() {
        let long = format!("https://a.example/{}", "x".repeat(2_048));
        for url in [
            "",
            "hooks.example",
            "/path",
            "ftp://a.example/",
            "file:///etc/passwd",
            "https://user:word@a.example/",
            "https://a.example/#x",
            "https://:443/",
            "https://a b.example/",
            "https://a.example/\r\nx: y",
            long.as_str(),
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url:?}");
        }
    }
}
