//! An HTTPS POST to an address that somebody gave: the rules of every target hold, no redirect is followed, and of the
//! answer only the status is read.

use crate::line::{Line, Lines, NOT_ALLOWED};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use keywright_ssh::Target;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};

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
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

#[derive(Clone)]
pub struct Webhooks {
    lines: Lines,
}

impl Webhooks {
    pub fn new(lines: Lines) -> Self {
        Self { lines }
    }

    /// TARGET_NOT_ALLOWED where the rules forbid it now; a name that nobody knows yet may be known later.
    pub async fn check(&self, endpoint: &Endpoint) -> Result<(), Failure> {
        match self.lines.addresses(&endpoint.target).await {
            Err(NOT_ALLOWED) => Err(Failure::new(
                Reason::TargetNotAllowed,
                "The webhook's address may not be dialled from here.",
            )),
            Ok(addresses) if endpoint.encrypted || addresses.iter().all(|it| it.ip().is_loopback()) => Ok(()),
            Err(_) if endpoint.encrypted => Ok(()),
            Ok(_) | Err(_) => Err(Failure::violation("address", PLAIN)),
        }
    }

    /// The status of the answer, or why there is none.
    pub async fn post(&self, endpoint: &Endpoint, post: Post<'_>) -> Result<u16, &'static str> {
        let request = request(endpoint, post).ok_or("the request could not be made")?;
        exchange(self.open(endpoint).await?, request).await
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Line, &'static str> {
        match endpoint.encrypted {
            true => self.lines.encrypted(&endpoint.target, &[]).await,
            false => self.lines.plain_to_loopback(&endpoint.target, PLAIN).await,
        }
    }
}

const PLAIN: &str = "must be an https:// URL: plain http is for this machine alone";

fn request(endpoint: &Endpoint, post: Post<'_>) -> Option<Request<Full<Bytes>>> {
    Request::post(&endpoint.path)
        .header(header::HOST, &endpoint.authority)
        .header(header::USER_AGENT, concat!("keywright/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, post.content_type)
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
