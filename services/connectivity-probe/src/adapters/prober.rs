//! Receipts and scans: fresh connections that prove one thing each.
//!
//! Invariant: a refusal is the server's own answer; a connection that was lost proves nothing and is a failure.

use super::route::Way;
use keywright_domain::clock::Clock;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::host::KnownHost;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use keywright_ssh::{
    Dialer, FailureCode, Identity, LoginError, Scanned, ServerOffer, Stage, TargetRules, Timeouts,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tracing::instrument;

/// How long a proof or a scan takes at most.
const LIMIT: Duration = Duration::from_secs(30);

type Trouble = keywright_ssh::Failure;

#[derive(Clone)]
pub struct Prober {
    dialer: Dialer,
}

/// What one connection showed.
#[derive(Debug, Clone)]
pub struct Shown {
    pub accepted: bool,
    pub host_key: Fingerprint,
    pub address: SocketAddr,
    pub source_port: u16,
    pub server_version: String,
}

impl Prober {
    pub fn new(rules: Arc<TargetRules>, clock: Clock) -> Self {
        Self { dialer: Dialer::new(rules, Timeouts::default()).with_clock(clock) }
    }

    /// Signed; ends at the server's success message, so that no forced command runs.
    #[instrument(skip_all)]
    pub async fn login(&self, way: &Way, known: &KnownHost, identity: &Identity) -> Result<Shown, Failure> {
        let dialer = self.dialer.through(&way.route);
        let login = async {
            let resolved = dialer.resolve(&way.target).await?.value;
            let dialed = dialer.dial(&resolved).await?.value;
            let (address, source_port) = (dialed.address(), dialed.local().port());
            let server = dialer.handshake(dialed, known).await?.value.verify()?.value;
            let mut shown = Shown {
                accepted: false,
                host_key: server.host_key().fingerprint(),
                address,
                source_port,
                server_version: server.server_version().to_owned(),
            };
            match server.authenticate(identity).await {
                Ok(session) => {
                    session.value.close().await;
                    shown.accepted = true;
                    Ok(shown)
                }
                Err(LoginError::Server(trouble)) if is_refusal(trouble.code) => Ok(shown),
                Err(error) => Err(error),
            }
        };
        bounded(login).await?.map_err(unproven)
    }

    /// The public key without a signature.
    #[instrument(skip_all)]
    pub async fn offer(
        &self,
        way: &Way,
        known: &KnownHost,
        user: &str,
        key: &PublicKey,
    ) -> Result<Shown, Failure> {
        let dialer = self.dialer.through(&way.route);
        let receipt = bounded(dialer.prove_offer(&way.target, known, user, key)).await?;
        let receipt = receipt.map_err(unproven)?;
        Ok(Shown {
            accepted: receipt.accepted,
            host_key: receipt.host_key,
            address: receipt.address,
            source_port: receipt.source_port,
            server_version: receipt.server_version,
        })
    }

    /// What the server offers before anything is agreed on.
    #[instrument(skip_all)]
    pub async fn offered(&self, way: &Way) -> Result<ServerOffer, Failure> {
        let dialer = self.dialer.through(&way.route);
        let reading = async {
            let resolved = dialer.resolve(&way.target).await?.value;
            Ok::<_, LoginError>(dialer.read_offer(&resolved).await?.value)
        };
        bounded(reading).await?.map_err(unseen)
    }

    /// Every host key that Keywright would accept. Nothing is trusted by this.
    #[instrument(skip_all)]
    pub async fn scan(&self, way: &Way) -> Result<Scanned, Failure> {
        let dialer = self.dialer.through(&way.route);
        bounded(dialer.scan_host_keys(&way.target)).await?.map_err(unseen)
    }
}

async fn bounded<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let late = || unproven(Trouble::new(Stage::Handshake, FailureCode::HandshakeTimeout).into());
    timeout(LIMIT, work).await.map_err(|_| late())
}

/// What a server says when it does not let this login in: no success, so no proof that the key logs in.
const fn is_refusal(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::AuthenticationRejected | FailureCode::MoreFactorsRequired | FailureCode::Nologin
    )
}

/// Where whoever asked chose the address.
fn unseen(error: LoginError) -> Failure {
    match error {
        LoginError::Server(trouble) if trouble.code == FailureCode::TargetNotAllowed => {
            with_facts(Reason::TargetNotAllowed, &trouble)
        }
        error => unproven(error),
    }
}

fn unproven(error: LoginError) -> Failure {
    let trouble = match error {
        LoginError::Server(trouble) => trouble,
        LoginError::Signing(refused) => return Failure::new(refused.reason, refused.message),
    };
    let reason = match trouble.code {
        FailureCode::HostKeyMismatch => Reason::HostKeyMismatch,
        FailureCode::HostKeyUnknown => Reason::HostKeyUnpinned,
        _ => Reason::HostUnreachable,
    };
    with_facts(reason, &trouble)
}

/// `check` names the failure as a connectivity test would.
fn with_facts(reason: Reason, trouble: &Trouble) -> Failure {
    let failure = Failure::new(reason, format!("{} {}", trouble.message, trouble.remedy));
    let failure = failure.with("check", trouble.code.as_str()).with("stage", trouble.stage.as_str());
    trouble.facts.iter().fold(failure, |failure, (name, value)| failure.with(name, value.as_str()))
}
