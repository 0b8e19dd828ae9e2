//! The first two stages: a checked address, a TCP connection to it.
//!
//! Invariant: only addresses that came out of [`resolve`](crate::resolve) are dialled, by their number; a name is
//! never handed to the operating system a second time.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keywright_domain::clock::Clock;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::instrument;

use crate::authenticate::LoginError;
use crate::failure::{Failure, FailureCode, Stage};
use crate::jump::JumpHost;
use crate::stream::Stream;
use crate::target::{Target, TargetRules};

/// The longest that each stage may take, whatever the server does.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub dns: Duration,
    pub tcp: Duration,
    /// Banner and key exchange together.
    pub handshake: Duration,
    /// With the time that the signing port takes, unless it has to wait for a person.
    pub authentication: Duration,
    /// Opening a session and running the first command.
    pub session: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            dns: Duration::from_secs(5),
            tcp: Duration::from_secs(10),
            handshake: Duration::from_secs(15),
            authentication: Duration::from_secs(20),
            session: Duration::from_secs(15),
        }
    }
}

/// A stage's result and how long it took.
#[derive(Debug, Clone, Copy)]
pub struct Staged<T> {
    pub value: T,
    pub took: Duration,
}

impl<T> Staged<T> {
    pub(crate) fn since(started: Instant, value: T) -> Self {
        Self { value, took: started.elapsed() }
    }
}

/// Makes connections under one set of rules. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialer {
    pub(crate) rules: Arc<TargetRules>,
    pub(crate) timeouts: Timeouts,
    /// Whether a host's certificate holds.
    pub(crate) clock: Clock,
    /// Empty: directly.
    pub(crate) route: Arc<[JumpHost]>,
}

/// The checked addresses of a target.
#[derive(Debug, Clone)]
pub struct Resolved {
    host: String,
    addresses: Vec<SocketAddr>,
}

impl Resolved {
    /// The name or address that was resolved: what a host's certificate must name.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// An open connection on which nothing was said yet.
#[derive(Debug)]
pub struct Dialed {
    pub(crate) socket: Stream,
    pub(crate) address: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) host: String,
}

impl Dialed {
    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For a protocol of one's own.
    pub fn into_socket(self) -> Stream {
        self.socket
    }

    /// Our end: the address and port that the server's log shows. Behind a jump host only that one knows, and this is
    /// 0.0.0.0:0.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

impl Dialer {
    pub fn new(rules: Arc<TargetRules>, timeouts: Timeouts) -> Self {
        Self { rules, timeouts, clock: Clock::System, route: Arc::from([]) }
    }

    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Stage `dns`.
    #[instrument(skip_all)]
    pub async fn resolve(&self, target: &Target) -> Result<Staged<Resolved>, Failure> {
        let started = Instant::now();
        let deadline = started + self.timeouts.dns;
        let addresses = crate::resolve(&target.host, target.port, &self.rules, deadline).await?;
        Ok(Staged::since(started, Resolved { host: target.host.clone(), addresses }))
    }

    /// Stage `tcp`: through the jump hosts, where there are any.
    #[instrument(skip_all)]
    pub async fn dial(&self, resolved: &Resolved) -> Result<Staged<Dialed>, LoginError> {
        if !self.route.is_empty() {
            // Seldom taken, and large.
            return Box::pin(self.tunnel(resolved)).await;
        }
        let started = Instant::now();
        Ok(Staged::since(started, self.dial_directly(resolved).await?))
    }

    /// Tries the addresses in turn; each gets its share of what is left of the time.
    pub(crate) async fn dial_directly(&self, resolved: &Resolved) -> Result<Dialed, Failure> {
        let started = Instant::now();
        let deadline = started + self.timeouts.tcp;
        let mut left = u32::try_from(resolved.addresses.len()).unwrap_or(u32::MAX);
        let mut last = Failure::new(Stage::Tcp, FailureCode::NetworkUnreachable);
        for &address in &resolved.addresses {
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / left.max(1);
            left = left.saturating_sub(1);
            match self.connect_to(&resolved.host, address, now + share).await {
                Ok(dialed) => return Ok(dialed),
                Err(code) => {
                    last = Failure::new(Stage::Tcp, code).with("address", address.to_string());
                    if code == FailureCode::TargetNotAllowed {
                        break;
                    }
                }
            }
        }
        Err(last.after(started.elapsed()))
    }

    async fn connect_to(
        &self,
        host: &str,
        address: SocketAddr,
        deadline: Instant,
    ) -> Result<Dialed, FailureCode> {
        let socket = match timeout_at(deadline, TcpStream::connect(address)).await {
            Err(_) => return Err(FailureCode::ConnectTimeout),
            Ok(Err(e)) => return Err(code_of(e.kind())),
            Ok(Ok(socket)) => socket,
        };
        let local = socket.local_addr().map_err(|_| FailureCode::ConnectionClosed)?;
        if self.rules.reached_own_listener(local, address) {
            return Err(FailureCode::TargetNotAllowed);
        }
        // Without it each small packet of a login waits for the acknowledgement of the one before.
        socket.set_nodelay(true).map_err(|_| FailureCode::ConnectionClosed)?;
        Ok(Dialed { socket: Stream::direct(socket), address, local, host: host.to_owned() })
    }
}

fn code_of(kind: ErrorKind) -> FailureCode {
    match kind {
        ErrorKind::ConnectionRefused => FailureCode::ConnectionRefused,
        ErrorKind::TimedOut => FailureCode::ConnectTimeout,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => FailureCode::ConnectionClosed,
        _ => FailureCode::NetworkUnreachable,
    }
}
