//! Proofs about a key on a server: that it logs in, that it would be accepted, that it is refused.
//!
//! Invariant: a fresh connection each time, one key on it, the host key verified first. A refusal is the server's own
//! answer; a connection that was lost proves nothing and is a failure.

use std::net::SocketAddr;
use std::time::Duration;

use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::host::KnownHost;
use keywright_domain::key::PublicKey;
use tokio::time::Instant;
use tracing::instrument;

use crate::authenticate::LoginError;
use crate::dial::Dialer;
use crate::handshake::Peer;
use crate::signing::Identity;
use crate::target::Target;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofMethod {
    /// Signed; ends at the server's success message, so that no forced command runs.
    Login,
    /// The public key without a signature.
    Offer,
}

/// What was shown, to whom, over which connection.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub method: ProofMethod,
    pub accepted: bool,
    pub key: Fingerprint,
    pub host_key: Fingerprint,
    pub address: SocketAddr,
    /// Our port: with our address it finds this connection in the server's log.
    pub source_port: u16,
    pub server_version: String,
    pub took: Duration,
}

impl Dialer {
    /// Proves that `identity` logs in. A rejection is a failure here; to prove a refusal, offer the key.
    #[instrument(skip_all)]
    pub async fn prove_login(
        &self,
        target: &Target,
        known: impl Into<KnownHost>,
        identity: &Identity,
    ) -> Result<Receipt, LoginError> {
        let started = Instant::now();
        let (server, _) = self.reach(target, &known.into()).await?;
        let peer = server.link.peer.clone();
        let session = server.authenticate(identity).await?.value;
        let receipt = receipt(ProofMethod::Login, true, &identity.public_key, peer, started);
        session.close().await;
        Ok(receipt)
    }

    /// Asks whether `public_key` would be accepted for `user`, either way with a receipt.
    #[instrument(skip_all)]
    pub async fn prove_offer(
        &self,
        target: &Target,
        known: impl Into<KnownHost>,
        user: &str,
        public_key: &PublicKey,
    ) -> Result<Receipt, LoginError> {
        let started = Instant::now();
        let known = known.into();
        let mut names = None;
        loop {
            let (server, _) = self.reach(target, &known).await?;
            let peer = server.link.peer.clone();
            let offered = server.offer(user, public_key, names).await?;
            if offered.accepted || offered.untried.is_empty() {
                return Ok(receipt(ProofMethod::Offer, offered.accepted, public_key, peer, started));
            }
            // The server hung up after a few refusals: the other names need a connection of their own.
            names = Some(offered.untried);
        }
    }
}

fn receipt(method: ProofMethod, accepted: bool, key: &PublicKey, peer: Peer, started: Instant) -> Receipt {
    Receipt {
        method,
        accepted,
        key: key.fingerprint(),
        host_key: peer.host_key.fingerprint(),
        address: peer.address,
        source_port: peer.local.port(),
        server_version: peer.server_version,
        took: started.elapsed(),
    }
}
