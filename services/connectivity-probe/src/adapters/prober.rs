//! Receipts and scans: fresh connections that prove one thing each.
//!
//! Invariant: a refusal is the server's own answer; a connection that was lost proves nothing and is a failure.

use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use keywright_ssh::{Dialer, FailureCode, Identity, LoginError, Stage, Target, TargetRules, Timeouts};
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

/// The host keys of an address, and its identification line.
pub struct Scan {
    pub keys: Vec<PublicKey>,
    pub server_version: String,
}

impl Prober {
    pub fn new(rules: Arc<TargetRules>) -> Self {
        Self { dialer: Dialer::new(rules, Timeouts::default()) }
    }

    /// Signed; ends at the server's success message, so that no forced command runs.
    #[instrument(skip_all)]
    pub async fn login(
        &self,
        target: &Target,
        pins: &[PublicKey],
        identity: &Identity,
    ) -> Result<Shown, Failure> {
        let login = async {
            let resolved = self.dialer.resolve(target).await?.value;
            let dialed = self.dialer.dial(&resolved).await?.value;
            let (address, source_port) = (dialed.address(), dialed.local().port());
            let server = self.dialer.handshake(dialed, pins).await?.value.verify()?.value;
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
        match bounded(login).await? {
            Ok(shown) => Ok(shown),
            Err(LoginError::Server(trouble)) => Err(unproven(&trouble)),
            Err(LoginError::Signing(refused)) => Err(Failure::new(refused.reason, refused.message)),
        }
    }

    /// The public key without a signature.
    #[instrument(skip_all)]
    pub async fn offer(
        &self,
        target: &Target,
        pins: &[PublicKey],
        user: &str,
        key: &PublicKey,
    ) -> Result<Shown, Failure> {
        let receipt = bounded(self.dialer.prove_offer(target, pins, user, key)).await?;
        let receipt = receipt.map_err(|trouble| unproven(&trouble))?;
        Ok(Shown {
            accepted: receipt.accepted,
            host_key: receipt.host_key,
            address: receipt.address,
            source_port: receipt.source_port,
            server_version: receipt.server_version,
        })
    }

    /// Every host key that Keywright would accept. Nothing is trusted by this.
    #[instrument(skip_all)]
    pub async fn scan(&self, target: &Target) -> Result<Scan, Failure> {
        let scan = async {
            let keys = self.dialer.scan_host_keys(target).await?;
            let resolved = self.dialer.resolve(target).await?.value;
            let dialed = self.dialer.dial(&resolved).await?.value;
            let greeted = self.dialer.handshake(dialed, &[]).await?.value;
            Ok::<_, Trouble>(Scan { keys, server_version: greeted.server_version().to_owned() })
        };
        bounded(scan).await?.map_err(|trouble| match trouble.code {
            FailureCode::TargetNotAllowed => with_facts(Reason::TargetNotAllowed, &trouble),
            _ => unproven(&trouble),
        })
    }
}

async fn bounded<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let late = || unproven(&Trouble::new(Stage::Handshake, FailureCode::HandshakeTimeout));
    timeout(LIMIT, work).await.map_err(|_| late())
}

/// What a server says when it does not let this login in: no success, so no proof that the key logs in.
const fn is_refusal(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::AuthenticationRejected | FailureCode::MoreFactorsRequired | FailureCode::Nologin
    )
}

fn unproven(trouble: &Trouble) -> Failure {
    let reason = match trouble.code {
        FailureCode::HostKeyMismatch => Reason::HostKeyMismatch,
        FailureCode::HostKeyUnknown => Reason::HostKeyUnpinned,
        _ => Reason::HostUnreachable,
    };
    with_facts(reason, trouble)
}

/// `check` names the failure as a connectivity test would.
fn with_facts(reason: Reason, trouble: &Trouble) -> Failure {
    let failure = Failure::new(reason, format!("{} {}", trouble.message, trouble.remedy));
    let failure = failure.with("check", trouble.code.as_str()).with("stage", trouble.stage.as_str());
    trouble.facts.iter().fold(failure, |failure, (name, value)| failure.with(name, value.as_str()))
}
