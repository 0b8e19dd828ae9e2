//! Asking a provider for its discovery document and its keys: bounded in time and size, no redirect followed.
//!
//! Invariant: nothing that the HTTP client says leaves this file; a failure is one of a few words of our own.

use super::config::{endpoint, is_loopback};
use reqwest::{Certificate, Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);
const LIMIT: usize = 256 * 1024;

/// Why nothing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch(pub &'static str);

/// Why a provider cannot be asked at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("its ca_file cannot be read or holds no certificate in PEM form")]
    Authority,
    #[error("TLS cannot be set up; is there a store of certificates on this machine?")]
    Tls,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

pub struct Source {
    client: Client,
}

impl Source {
    pub fn new(issuer: &Url, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let mut builder = Client::builder()
            .user_agent(concat!("keywright/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER);
        if let Some(path) = ca_file {
            let pem = std::fs::read(path).map_err(|_| ClientError::Authority)?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| ClientError::Authority)?;
            if authorities.is_empty() {
                return Err(ClientError::Authority);
            }
            builder = builder.tls_certs_only(authorities);
        } else if issuer.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        if is_loopback(issuer) {
            builder = builder.no_proxy();
        }
        Ok(Self { client: builder.build().map_err(|_| ClientError::Tls)? })
    }

    /// The keys that the issuer publishes now, where its discovery document says.
    pub async fn keys(&self, issuer: &str) -> Result<Vec<Value>, Fetch> {
        let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = endpoint(&document).map_err(Fetch)?;
        let discovery: Discovery = self.get(document).await?;
        if discovery.issuer != issuer {
            return Err(Fetch("its discovery document is of another issuer"));
        }
        let keys = endpoint(&discovery.jwks_uri).map_err(|_| Fetch("its jwks_uri is not https"))?;
        Ok(self.get::<Published>(keys).await?.keys)
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, Fetch> {
        let broken = |error: reqwest::Error| Fetch(if error.is_timeout() { "too late" } else { "no answer" });
        let mut response =
            self.client.get(url).header("accept", "application/json").send().await.map_err(broken)?;
        if response.status().is_redirection() {
            return Err(Fetch("a redirect, which is not followed"));
        }
        if !response.status().is_success() {
            return Err(Fetch("an error status"));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len().saturating_add(chunk.len()) > LIMIT {
                return Err(Fetch("more than 256 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| Fetch("not the JSON that was expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A provider that answers each request with what `answer` says for its path, `ISSUER` being its own address.
    async fn provider(answer: fn(&str) -> (&'static str, String)) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let (own, asked) = (issuer.clone(), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let (status, body) = answer(head.split(' ').nth(1).unwrap());
                let body = body.replace("ISSUER", &own);
                let location = if status.starts_with('3') {
                    format!("location: {own}/elsewhere\r\n")
                } else {
                    String::new()
                };
                let text = format!(
                    "HTTP/1.1 {status}\r\n{location}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Whoever asked may have heard enough.
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        (issuer, asked)
    }

    async fn keys(answer: fn(&str) -> (&'static str, String)) -> (Result<usize, Fetch>, usize) {
        let (issuer, asked) = provider(answer).await;
        let source = Source::new(&Url::parse(&issuer).unwrap(), None).unwrap();
        let found = source.keys(&issuer).await.map(|keys| keys.len());
        (found, asked.load(Ordering::SeqCst))
    }

    fn discovery(path: &str) -> Option<(&'static str, String)> {
        let document = r#"{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}"#;
        (path == "/.well-known/openid-configuration").then(|| ("200 OK", document.to_owned()))
    }

    #[tokio::test]
    async fn keys_are_found_by_the_discovery_document() {
        let found = keys(|path| {
            discovery(path).unwrap_or_else(|| ("200 OK", r#"{"keys":[{"kty":"a"},{"kty":"b"}]}"#.to_owned()))
        });
        assert_eq!(found.await, (Ok(2), 2));
    }

    #[tokio::test]
    async fn another_issuer_a_redirect_and_a_plain_address_are_not_followed() {
        let other = keys(|_| ("200 OK", r#"{"issuer":"ISSUER/","jwks_uri":"ISSUER/keys"}"#.to_owned()));
        assert_eq!(other.await, (Err(Fetch("its discovery document is of another issuer")), 1));
        let moved = keys(|_| ("302 Found", String::new()));
        assert_eq!(moved.await, (Err(Fetch("a redirect, which is not followed")), 1));
        let plain =
            keys(|_| ("200 OK", r#"{"issuer":"ISSUER","jwks_uri":"http://10.0.0.1/keys"}"#.to_owned()));
        assert_eq!(plain.await, (Err(Fetch("its jwks_uri is not https")), 1));
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_json_is_refused() {
        let large = keys(|path| discovery(path).unwrap_or_else(|| ("200 OK", " ".repeat(300 * 1024))));
        assert_eq!(large.await.0, Err(Fetch("more than 256 KiB")));
        let odd = keys(|path| discovery(path).unwrap_or_else(|| ("200 OK", "[]".to_owned())));
        assert_eq!(odd.await.0, Err(Fetch("not the JSON that was expected")));
        let broken = keys(|path| discovery(path).unwrap_or_else(|| ("500 Oops", String::new())));
        assert_eq!(broken.await.0, Err(Fetch("an error status")));
    }

    #[test]
    fn a_file_without_a_certificate_is_no_authority() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        let issuer = Url::parse("https://login.example").unwrap();
        for path in [file.path(), Path::new("/nowhere/ca.pem")] {
            assert_eq!(Source::new(&issuer, Some(path)).err(), Some(ClientError::Authority));
        }
    }
}
