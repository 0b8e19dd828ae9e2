//! An OpenID Connect provider as this client speaks to it: discovery and the token endpoint.
//!
//! Invariants: the provider is the one that the gateway named, over https (or on this machine's loopback); no
//! redirect is followed; what it answers is bounded in time and size.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;

use crate::client::is_loopback;
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::clean;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
const LIMIT: usize = 1 << 20;

pub struct Provider {
    pub name: String,
    pub issuer: String,
    pub client_id: String,
    pub scope: String,
    http: reqwest::Client,
}

/// Where things are.
pub struct Endpoints {
    pub authorization: Option<Url>,
    pub device_authorization: Option<Url>,
    pub token: Url,
}

/// An answer of an OAuth endpoint: a success, or its `error`.
pub enum Reply {
    Good(Value),
    Error { code: String, description: String },
}

impl Provider {
    /// As the gateway describes it; none if the description is not whole.
    pub fn of(value: &Value) -> Option<Self> {
        let text = |pointer| Some(fields::text(value, pointer).to_owned()).filter(|text| !text.is_empty());
        let issuer = text("/issuer")?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("keywright-cli/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER);
        if let Ok(url) = Url::parse(&issuer)
            && is_loopback(&url)
        {
            builder = builder.no_proxy();
            if url.scheme() == "http" {
                builder = builder.tls_certs_only([]);
            }
        }
        Some(Self {
            name: text("/name")?,
            client_id: text("/clientId")?,
            scope: fields::texts(value, "/scopes").join(" "),
            http: builder.build().ok()?,
            issuer,
        })
    }

    pub async fn discover(&self) -> Result<Endpoints> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let url = self.endpoint(&url)?;
        let (_, document) = self.answer(self.http.get(url)).await?;
        if fields::text(&document, "/issuer") != self.issuer {
            return Err(self.wrong("its discovery document is of another issuer"));
        }
        let named = |pointer: &str| match fields::text(&document, pointer) {
            "" => Ok(None),
            url => self.endpoint(url).map(Some),
        };
        Ok(Endpoints {
            authorization: named("/authorization_endpoint")?,
            device_authorization: named("/device_authorization_endpoint")?,
            token: named("/token_endpoint")?.ok_or_else(|| self.wrong("it has no token endpoint"))?,
        })
    }

    /// A form, as OAuth wants it.
    pub async fn post(&self, url: &Url, form: &[(&str, &str)]) -> Result<Reply> {
        let request = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(form));
        let (good, answer) = self.answer(request).await?;
        let code = fields::text(&answer, "/error").to_owned();
        if good && code.is_empty() {
            return Ok(Reply::Good(answer));
        }
        if code.is_empty() {
            return Err(self.wrong("it answered with an error that is none of OAuth's"));
        }
        Ok(Reply::Error { code, description: fields::text(&answer, "/error_description").to_owned() })
    }

    pub fn refused(&self, code: &str, description: &str) -> CliError {
        let what = if description.is_empty() { code } else { description };
        CliError::Refused(clean(&format!("{} refused the login: {what}", self.name)))
    }

    pub fn wrong(&self, why: &str) -> CliError {
        CliError::Refused(clean(&format!("the identity provider {} at {}: {why}", self.name, self.issuer)))
    }

    fn endpoint(&self, text: &str) -> Result<Url> {
        let url = Url::parse(text).map_err(|_| self.wrong("it names an address that is none"))?;
        let private = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url);
        if private { Ok(url) } else { Err(self.wrong("it names an address without https")) }
    }

    /// Whether it is a success, and what it says.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<(bool, Value)> {
        let failed = |error: reqwest::Error| CliError::Unreachable {
            url: self.issuer.clone(),
            cause: if error.is_timeout() { "it took too long".into() } else { cause(&error) },
        };
        let mut response = request.header(ACCEPT, "application/json").send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > LIMIT {
                return Err(self.wrong("it answered more than 1 MiB"));
            }
        }
        let value = serde_json::from_slice(&body)
            .map_err(|_| self.wrong(&format!("it answered {} without JSON", status.as_u16())))?;
        Ok((status.is_success(), value))
    }
}

/// The innermost cause.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// `application/x-www-form-urlencoded`, by the URL library.
fn encode(form: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("http://localhost/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(form);
    url.query().unwrap_or_default().to_owned()
}
