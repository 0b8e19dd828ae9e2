//! The gateway, over REST. Paths are built from segments, so an argument can never change the route; redirects are
//! not followed, so the token goes nowhere else.

mod api_error;
mod body;
mod certificate;
mod chunks;
mod download;
mod events;
mod follow;
mod page;
mod sse;

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

pub use api_error::ApiError;
pub use body::Body;
pub use download::{AccessConfirmation, DownloadRequest};
pub use follow::{Followed, follow};
pub use page::{Listing, Page};

use crate::error::{CliError, Result};

/// The gateway's id of a request, in every answer.
pub const REQUEST_ID: &str = "keywright-request-id";
const CONNECT: Duration = Duration::from_secs(5);
/// Managing a server and testing a slow one take a while; nothing takes longer than this.
const ANSWER: Duration = Duration::from_secs(120);

/// An answer, as text for programs and as a value for people.
pub struct Answer {
    pub text: String,
    pub value: Value,
}

impl Answer {
    /// An answer put together here, from one or several of the gateway's.
    pub fn of(value: Value) -> Self {
        Self { text: value.to_string(), value }
    }
}

pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Zeroizing<String>>,
}

impl Client {
    /// # Errors
    /// `Unreachable` if TLS cannot be set up (no certificates on the machine), `Usage` for a client certificate that
    /// cannot be used.
    pub fn new(base: Url, token: Option<Zeroizing<String>>) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("keywright-cli/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT);
        if base.scheme() == "http" {
            // Without TLS no certificate is wanted: a machine that has none can still use it.
            builder = builder.tls_certs_only([]);
        } else if let Some(identity) = certificate::of_environment()? {
            builder = builder.identity(identity);
        }
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| CliError::Unreachable { url: base.to_string(), cause: cause_of(&error) })?;
        Ok(Self { http, base, token })
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub async fn get(&self, path: &[&str]) -> Result<Answer> {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer> {
        self.answer(self.request(Method::GET, path, query)?).await
    }

    /// A file, and its entity tag.
    pub async fn file(&self, path: &[&str]) -> Result<(Vec<u8>, String)> {
        let response = self.accepted(self.request(Method::GET, path, &[])?.timeout(ANSWER)).await?;
        let etag = header(&response, "etag").unwrap_or_default().trim_matches('"').to_owned();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok((body.to_vec(), etag))
    }

    pub async fn post(&self, path: &[&str], body: &impl Serialize) -> Result<Answer> {
        self.answer(with_body(self.request(Method::POST, path, &[])?, body)?).await
    }

    pub async fn patch(&self, path: &[&str], body: &impl Serialize) -> Result<Answer> {
        self.answer(with_body(self.request(Method::PATCH, path, &[])?, body)?).await
    }

    pub async fn put(&self, path: &[&str], body: &impl Serialize) -> Result<Answer> {
        self.answer(with_body(self.request(Method::PUT, path, &[])?, body)?).await
    }

    pub async fn delete(&self, path: &[&str]) -> Result<Answer> {
        self.answer(self.request(Method::DELETE, path, &[])?).await
    }

    pub async fn delete_where(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer> {
        self.answer(self.request(Method::DELETE, path, query)?).await
    }

    pub async fn delete_with(&self, path: &[&str], body: &impl Serialize) -> Result<Answer> {
        self.answer(with_body(self.request(Method::DELETE, path, &[])?, body)?).await
    }

    /// The status and text of a path outside of the contract (`/healthz`).
    pub async fn probe(&self, path: &[&str]) -> Result<(u16, String)> {
        let response = self.send(self.request(Method::GET, path, &[])?.timeout(CONNECT)).await?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        Ok((status, text))
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| CliError::Usage(format!("{} is not the address of a gateway", self.base)))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<RequestBuilder> {
        let request = self.http.request(method, self.url(path, query)?);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        })
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Answer> {
        let response = self.accepted(request.header(ACCEPT, "application/json").timeout(ANSWER)).await?;
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        let value =
            serde_json::from_str(&text).map_err(|error| CliError::Protocol(format!("not JSON ({error})")))?;
        Ok(Answer { text, value })
    }

    /// Sends; an answer that is not a success becomes the error it carries.
    async fn accepted(&self, request: RequestBuilder) -> Result<Response> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let http = response.status().as_u16();
        let request_id = header(&response, REQUEST_ID);
        let body = response.text().await.unwrap_or_default();
        Err(CliError::Api(Box::new(ApiError::parse(http, request_id, &body, self.has_token()))))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        CliError::Unreachable { url: self.base.to_string(), cause: cause_of(error) }
    }
}

/// A header's text, if it has one.
fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn with_body(request: RequestBuilder, body: &impl Serialize) -> Result<RequestBuilder> {
    let body = serde_json::to_vec(body).map_err(|error| CliError::Protocol(error.to_string()))?;
    Ok(request.header(CONTENT_TYPE, "application/json").body(body))
}

/// Whether a gateway's address never leaves the machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The innermost cause, without the address that the outer ones repeat.
fn cause_of(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
