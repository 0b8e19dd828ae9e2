//! The connection, the token, and what every call has.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use tonic::metadata::MetadataValue;
use tonic::metadata::errors::InvalidMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::error::Error;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a call may take where nothing else is said.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0} is not the address of a server, such as https://keywright.internal:8490")]
    Address(String),
    #[error("a token is not sent without TLS to another machine; use https")]
    NotEncrypted,
    #[error("the token has characters that no token has")]
    Token(#[source] InvalidMetadataValue),
    #[error("the certificates cannot be used")]
    Tls(#[source] tonic::transport::Error),
}

/// What a client is made of.
pub struct Builder {
    address: String,
    token: Zeroizing<String>,
    ca: Option<Certificate>,
    identity: Option<Identity>,
    deadline: Duration,
}

impl Builder {
    /// Trust servers with a certificate of this authority (PEM).
    #[must_use]
    pub fn ca(mut self, pem: &[u8]) -> Self {
        self.ca = Some(Certificate::from_pem(pem));
        self
    }

    /// Show this certificate with its key (both PEM): a token can be bound to it.
    #[must_use]
    pub fn certificate(mut self, certificate: &[u8], key: &[u8]) -> Self {
        self.identity = Some(Identity::from_pem(certificate, key));
        self
    }

    /// How long each call may take; 10 seconds by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The client; it connects with its first call, and again when the connection is lost.
    ///
    /// # Errors
    /// Where address, token or certificates cannot be used together.
    pub fn build(self) -> Result<Client, ConnectError> {
        let wrong = || ConnectError::Address(self.address.clone());
        let uri: Uri = self.address.parse().map_err(|_| wrong())?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        if !encrypted && !is_loopback(uri.host().unwrap_or_default()) {
            return Err(ConnectError::NotEncrypted);
        }
        let mut endpoint = Endpoint::from(uri).connect_timeout(CONNECT).tcp_nodelay(true);
        if encrypted {
            let mut tls = ClientTlsConfig::new();
            if let Some(ca) = self.ca {
                tls = tls.ca_certificate(ca);
            }
            if let Some(identity) = self.identity {
                tls = tls.identity(identity);
            }
            endpoint = endpoint.tls_config(tls).map_err(ConnectError::Tls)?;
        }
        let header = Zeroizing::new(format!("Bearer {}", self.token.trim()));
        let mut bearer = MetadataValue::try_from(header.as_str()).map_err(ConnectError::Token)?;
        bearer.set_sensitive(true);
        Ok(Client { channel: endpoint.connect_lazy(), bearer, deadline: self.deadline })
    }
}

/// A service's way to Keywright. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) channel: Channel,
    bearer: MetadataValue<tonic::metadata::Ascii>,
    deadline: Duration,
}

impl Client {
    /// With the machine's trusted authorities and no certificate of its own.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new(address: &str, token: String) -> Result<Self, ConnectError> {
        Self::builder(address, token).build()
    }

    pub fn builder(address: &str, token: String) -> Builder {
        Builder {
            address: address.to_owned(),
            token: Zeroizing::new(token),
            ca: None,
            identity: None,
            deadline: DEADLINE,
        }
    }

    /// The message with token and deadline.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request.set_timeout(self.deadline);
        request
    }
}

pub(crate) fn answer<T>(answered: Result<Response<T>, Status>) -> Result<T, Error> {
    answered.map(Response::into_inner).map_err(|status| Error::from_status(&status))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_stays_on_the_machine_without_tls() {
        let client = |address| Client::new(address, "token".into());
        assert!(client("http://127.0.0.1:1").is_ok() && client("http://[::1]:1").is_ok());
        assert!(matches!(client("http://10.0.0.1:1"), Err(ConnectError::NotEncrypted)));
        assert!(matches!(client("http://127.0.0.1.example:1"), Err(ConnectError::NotEncrypted)));
        for address in ["", "localhost:1", "ftp://localhost", "https//x"] {
            assert!(matches!(client(address), Err(ConnectError::Address(_))), "{address}");
        }
        let broken = Client::new("http://localhost:1", "to\nken".into());
        assert!(matches!(broken, Err(ConnectError::Token(_))));
    }
}
