//! Logging in without holding the key: somebody else signs, and only user-authentication requests.
//!
//! Invariant: a port is handed the parsed request, never bytes: there is no way to have anything else signed through it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keywright_domain::key::{Certificate, PrivateKey, PublicKey, UserauthRequest};
use keywright_domain::reason::Reason;

/// Signs SSH user-authentication requests: credential-store over gRPC, a key in memory, or a person's agent.
#[async_trait]
pub trait SigningPort: Send + Sync {
    /// The signature blob (string algorithm, string signature) over `request.signed_bytes()`.
    async fn sign(&self, request: UserauthRequest, host: &HostProof) -> Result<Vec<u8>, PortFailure>;

    /// How much longer than its stage a login may take, where a person has to answer.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// How the server proved in the key exchange which host it is: what `session-bind@openssh.com` tells an agent.
#[derive(Debug, Clone)]
pub struct HostProof {
    /// The host key, or its certificate, in wire form.
    pub host_key: Vec<u8>,
    /// Its signature over the session identifier, in wire form.
    pub signature: Vec<u8>,
}

/// Why a port did not sign: the reason of whoever holds the key, passed on as it is.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct PortFailure {
    pub reason: Reason,
    pub message: String,
}

impl PortFailure {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Who logs in: an account, the key, and whoever signs with it.
#[derive(Clone)]
pub struct Identity {
    pub user: String,
    pub public_key: PublicKey,
    /// Of the key; presented in its place.
    pub certificate: Option<Certificate>,
    pub port: Arc<dyn SigningPort>,
}

impl Identity {
    pub fn one_time(user: impl Into<String>, key: PrivateKey) -> Self {
        let public_key = key.public().clone();
        Self { user: user.into(), public_key, certificate: None, port: Arc::new(OneTimeKey::new(key)) }
    }
}

/// A key for one operation: it stays in this process's memory and is wiped when dropped.
pub struct OneTimeKey(Arc<PrivateKey>);

impl OneTimeKey {
    pub fn new(key: PrivateKey) -> Self {
        Self(Arc::new(key))
    }
}

#[async_trait]
impl SigningPort for OneTimeKey {
    async fn sign(&self, request: UserauthRequest, _: &HostProof) -> Result<Vec<u8>, PortFailure> {
        if request.public_key() != self.0.public() {
            return Err(PortFailure::new(Reason::PublicKeyMismatch, "The request names another key."));
        }
        let key = Arc::clone(&self.0);
        // RSA takes milliseconds: not on the threads that serve connections.
        tokio::task::spawn_blocking(move || key.sign(request.algorithm(), &request.signed_bytes()))
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| PortFailure::new(Reason::Internal, "The key could not be used for signing."))
    }
}
