//! The way to a server through others, each logged in to with its own credential after its own host key was verified.
//!
//! Invariant: an address behind a jump host is resolved and checked here like any other, and the jump host is told that
//! checked address, never a name.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use keywright_domain::host::KnownHost;
use tokio::time::{Instant, timeout_at};
use tracing::instrument;

use crate::authenticate::LoginError;
use crate::dial::{Dialed, Dialer, Resolved, Staged};
use crate::failure::{Failure, FailureCode, Stage};
use crate::handshake::Link;
use crate::signing::Identity;
use crate::stream::Stream;
use crate::target::Target;

/// A server on the way.
#[derive(Clone)]
pub struct JumpHost {
    /// As people call it.
    pub name: String,
    pub target: Target,
    pub known: KnownHost,
    pub identity: Identity,
}

impl fmt::Debug for JumpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JumpHost({} at {}:{})", self.name, self.target.host, self.target.port)
    }
}

impl Dialer {
    /// The same dialer with a way that all its connections take: the outermost jump host first.
    #[must_use]
    pub fn through(&self, route: &[JumpHost]) -> Self {
        Self { route: Arc::from(route), ..self.clone() }
    }

    /// The jump hosts on the way, the outermost first.
    pub fn route(&self) -> &[JumpHost] {
        &self.route
    }

    /// Logs in to each of the jump hosts in turn, and has the last one connect to the target.
    #[instrument(skip_all)]
    pub(crate) async fn tunnel(&self, resolved: &Resolved) -> Result<Staged<Dialed>, LoginError> {
        let started = Instant::now();
        let mut last: Option<(Link, &JumpHost)> = None;
        for jump_host in self.route.iter() {
            let at = |error: LoginError| on_the_way(jump_host, error);
            let resolved = self.resolve(&jump_host.target).await.map_err(|failure| at(failure.into()))?.value;
            let dialed = match last.take() {
                None => self.dial_directly(&resolved).await.map_err(|failure| at(failure.into()))?,
                Some((link, before)) => self.onwards(link, before, &resolved).await?,
            };
            let link = self.log_in_to(jump_host, dialed).await.map_err(at)?;
            last = Some((link, jump_host));
        }
        let dialed = match last {
            None => self.dial_directly(resolved).await?,
            Some((link, jump_host)) => self.onwards(link, jump_host, resolved).await?,
        };
        Ok(Staged::since(started, dialed))
    }

    async fn log_in_to(&self, jump_host: &JumpHost, dialed: Dialed) -> Result<Link, LoginError> {
        let server = self.handshake(dialed, &jump_host.known).await?.value.verify()?.value;
        Ok(server.authenticate(&jump_host.identity).await?.value.into_link())
    }

    async fn onwards(
        &self,
        link: Link,
        jump_host: &JumpHost,
        resolved: &Resolved,
    ) -> Result<Dialed, LoginError> {
        let forwarded = self.forward(link, resolved).await;
        forwarded.map_err(|failure| named(jump_host, FORWARD, failure).into())
    }

    /// Tries the addresses in turn, as a direct connection does.
    async fn forward(&self, link: Link, resolved: &Resolved) -> Result<Dialed, Failure> {
        let started = Instant::now();
        let deadline = started + self.timeouts.tcp;
        let mut last = refused(FailureCode::NetworkUnreachable, UNREACHED);
        for &address in resolved.addresses() {
            let (host, port) = (address.ip().to_string(), u32::from(address.port()));
            // Nobody's address: ours is of no use to the target's log.
            let opening = link.handle.channel_open_direct_tcpip(host, port, "0.0.0.0", 0);
            last = match timeout_at(deadline, opening).await {
                Ok(Ok(channel)) => {
                    let local = SocketAddr::from(([0, 0, 0, 0], 0));
                    let socket = Stream::through(link, channel);
                    return Ok(Dialed { socket, address, local, host: resolved.host().to_owned() });
                }
                Ok(Err(error)) => not_forwarded(error),
                Err(_) => refused(FailureCode::ConnectTimeout, "The jump host did not connect in time."),
            }
            .with("address", address.to_string());
        }
        Err(last.after(started.elapsed()))
    }
}

const UNREACHED: &str =
    "The jump host could not connect to the server: nothing listens there, or there is no path to it.";

fn not_forwarded(error: russh::Error) -> Failure {
    use russh::ChannelOpenFailure::{AdministrativelyProhibited, ConnectFailed};
    match error {
        russh::Error::ChannelOpenFailure(AdministrativelyProhibited) => {
            refused(FailureCode::SessionRefused, "The jump host does not forward connections to this address.")
                .advising("Allow it to the jump host's account (AllowTcpForwarding and PermitOpen in sshd_config, no `restrict` on its key).")
        }
        russh::Error::ChannelOpenFailure(ConnectFailed) => refused(FailureCode::NetworkUnreachable, UNREACHED)
            .advising("Check the address, and the way from the jump host to the server."),
        russh::Error::ChannelOpenFailure(_) => {
            refused(FailureCode::SessionRefused, "The jump host forwards no connections.")
        }
        _ => refused(FailureCode::ConnectionClosed, "The jump host closed the connection."),
    }
}

fn refused(code: FailureCode, message: &'static str) -> Failure {
    Failure::new(Stage::Tcp, code).saying(message)
}

/// Whatever fails on the way is a connection that was not made; where and why stands in its facts.
fn on_the_way(jump_host: &JumpHost, error: LoginError) -> LoginError {
    match error {
        LoginError::Server(failure) => named(jump_host, failure.stage.as_str(), failure).into(),
        LoginError::Signing(_) => error,
    }
}

/// A stage that only a jump host has: to connect to what comes after it.
const FORWARD: &str = "forward";

fn named(jump_host: &JumpHost, stage: &'static str, failure: Failure) -> Failure {
    let message = format!("At the jump host {}: {}", jump_host.name, failure.message);
    let failure = Failure { stage: Stage::Tcp, message: message.into(), ..failure };
    failure.with("jumpHost", jump_host.name.clone()).with("jumpStage", stage)
}
