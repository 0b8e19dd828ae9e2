//! Stages `handshake` and `host-key`: the banner, the key exchange, and whether the server is the one we know.
//!
//! Invariant: a [`Handshaken`] exists only for a server whose host key is pinned. On any other verdict the engine has
//! already ended the connection, and no user name, no key and no signature went out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keywright_domain::host::KnownHost;
use keywright_domain::key::{CertificateFault, PublicKey};
use russh::client::{self, Handle};
use russh::{Names, Preferred, SshId};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::instrument;

use crate::algorithms;
use crate::banner::{self, CLIENT_ID, CLIENT_ID_SENT, Greeting};
use crate::dial::{Dialed, Dialer, Staged, Timeouts};
use crate::failure::{Failure, FailureCode, Stage};
use crate::host_key::{HostKeyVerdict, Judge};
use crate::hygiene;
use crate::observer::{Ended, Notes, Observer};
use crate::wire::{Leash, Wire};

/// What was agreed on. Known only for servers whose host key is pinned: with others the exchange is not completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyExchange {
    pub kex: String,
    pub host_key_algorithm: String,
    pub cipher: String,
    pub strict_kex: bool,
    pub post_quantum: bool,
}

impl KeyExchange {
    pub(crate) fn of(names: &Names) -> Self {
        Self {
            kex: names.kex.as_ref().to_owned(),
            host_key_algorithm: names.key.to_string(),
            cipher: names.cipher.as_ref().to_owned(),
            strict_kex: names.strict_kex(),
            post_quantum: hygiene::is_post_quantum(names.kex.as_ref()),
        }
    }
}

/// A connection with its engine; dropping it ends both.
pub(crate) struct Link {
    pub(crate) handle: Handle<Observer>,
    pub(crate) notes: Notes,
    pub(crate) timeouts: Timeouts,
    pub(crate) peer: Peer,
    leash: Leash,
}

/// How long a server may take to notice that we leave.
const FAREWELL: Duration = Duration::from_millis(250);

impl Link {
    /// Says goodbye, so that the server's log shows an orderly end, and ends the connection in any case.
    pub(crate) async fn hang_up(mut self) {
        if self.handle.is_closed() {
            return;
        }
        self.leash.linger();
        let goodbye = async {
            let _ = self.handle.disconnect(russh::Disconnect::ByApplication, "", "").await;
            let _ = (&mut self.handle).await;
        };
        let _ = timeout(FAREWELL, goodbye).await;
    }
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) server_version: String,
    pub(crate) host_key: PublicKey,
}

/// The server has shown its host key.
pub struct Greeted {
    peer: Peer,
    verdict: HostKeyVerdict,
    verdict_took: Duration,
    key_exchange: Option<KeyExchange>,
    link: Option<Link>,
}

impl Greeted {
    /// The identification line, such as `SSH-2.0-OpenSSH_9.2p1`.
    pub fn server_version(&self) -> &str {
        &self.peer.server_version
    }

    pub fn host_key(&self) -> &PublicKey {
        &self.peer.host_key
    }

    pub fn verdict(&self) -> &HostKeyVerdict {
        &self.verdict
    }

    /// `None` unless the verdict is `Pinned`.
    pub fn key_exchange(&self) -> Option<&KeyExchange> {
        self.key_exchange.as_ref()
    }

    /// Stage `host-key`: the only way on.
    pub fn verify(self) -> Result<Staged<Handshaken>, Failure> {
        let took = self.verdict_took;
        let failed = |code| Failure::new(Stage::HostKey, code).after(took);
        match (self.verdict, self.link, self.key_exchange) {
            (HostKeyVerdict::Pinned, Some(link), Some(key_exchange)) => {
                Ok(Staged { value: Handshaken { link, key_exchange }, took })
            }
            (HostKeyVerdict::Pinned, ..) => Err(failed(FailureCode::ConnectionClosed)),
            (HostKeyVerdict::Unknown { presented }, ..) => {
                Err(failed(FailureCode::HostKeyUnknown).with("presented", presented.as_str()))
            }
            (HostKeyVerdict::Mismatch { presented, pinned }, ..) => {
                let pinned = pinned.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(", ");
                Err(failed(FailureCode::HostKeyMismatch)
                    .with("presented", presented.as_str())
                    .with("pinned", pinned))
            }
            (HostKeyVerdict::Uncertified { presented, authority, fault }, ..) => {
                // A certificate that ran out is no sign of another server: what it certifies is not called a wrong key.
                let shown = if fault == CertificateFault::Time { "certified" } else { "presented" };
                Err(Failure { message: fault.to_string().into(), ..failed(FailureCode::HostKeyMismatch) }
                    .with(shown, presented.as_str())
                    .with("authority", authority.as_str()))
            }
        }
    }
}

/// A server that is the one we know, before any authentication.
pub struct Handshaken {
    pub(crate) link: Link,
    key_exchange: KeyExchange,
}

impl Handshaken {
    pub fn server_version(&self) -> &str {
        &self.link.peer.server_version
    }

    pub fn host_key(&self) -> &PublicKey {
        &self.link.peer.host_key
    }

    pub fn key_exchange(&self) -> &KeyExchange {
        &self.key_exchange
    }
}

impl Dialer {
    /// Stage `handshake`, up to the server's proof that it holds its host key. `known` decides the verdict.
    #[instrument(skip_all)]
    pub async fn handshake(
        &self,
        dialed: Dialed,
        known: impl Into<KnownHost>,
    ) -> Result<Staged<Greeted>, Failure> {
        let known = known.into();
        let preferred = algorithms::preferring(&known);
        self.exchange(dialed, known, preferred).await.map_err(|refusal| refusal.failure)
    }

    pub(crate) async fn exchange(
        &self,
        mut dialed: Dialed,
        known: KnownHost,
        preferred: Preferred,
    ) -> Result<Staged<Greeted>, Refusal> {
        let started = Instant::now();
        let deadline = started + self.timeouts.handshake;
        let failed = |code| Refusal::from(Failure::new(Stage::Handshake, code).after(started.elapsed()));
        let Greeting { server_version, replay } =
            banner::exchange(&mut dialed.socket, deadline).await.map_err(failed)?;
        let notes = Notes::default();
        let judge = Judge { known, host: dialed.host, clock: self.clock.clone() };
        let observer = Observer { judge, notes: notes.clone() };
        let (wire, leash) = Wire::new(dialed.socket, replay, CLIENT_ID_SENT);
        let engine = client::connect_stream(Arc::new(config(preferred)), wire, observer);
        let handle = match timeout_at(deadline, engine).await {
            Ok(Ok(handle)) => Some(handle),
            Ok(Err(_)) if notes.lock().verdict.as_ref().is_some_and(|v| *v != HostKeyVerdict::Pinned) => None,
            Ok(Err(e)) => {
                let mut refusal = refusal_of(e, notes.lock().ended);
                refusal.failure.took = started.elapsed();
                return Err(refusal);
            }
            Err(_) => return Err(failed(FailureCode::HandshakeTimeout)),
        };
        let (host_key, verdict, verdict_took, key_exchange) = {
            let mut seen = notes.lock();
            (seen.host_key.take(), seen.verdict.take(), seen.verdict_took, seen.key_exchange.take())
        };
        let (Some(host_key), Some(verdict)) = (host_key, verdict) else {
            return Err(failed(FailureCode::NotAnSshServer));
        };
        let peer = Peer { address: dialed.address, local: dialed.local, server_version, host_key };
        let link =
            handle.map(|handle| Link { handle, notes, timeouts: self.timeouts, peer: peer.clone(), leash });
        let greeted = Greeted { peer, verdict, verdict_took, key_exchange, link };
        let mut staged = Staged::since(started, greeted);
        staged.took = staged.took.saturating_sub(verdict_took);
        Ok(staged)
    }
}

/// A failed handshake, and the host key algorithms that the server listed when none was common.
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    pub(crate) server_host_key_algorithms: Option<Vec<String>>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, server_host_key_algorithms: None }
    }
}

fn refusal_of(error: russh::Error, ended: Option<Ended>) -> Refusal {
    let failed = |code| Failure::new(Stage::Handshake, code);
    match error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let what = match kind {
                russh::AlgorithmKind::Kex => "key exchange",
                russh::AlgorithmKind::Key => "host key",
                russh::AlgorithmKind::Cipher => "cipher",
                russh::AlgorithmKind::Compression => "compression",
                russh::AlgorithmKind::Mac => "message authentication",
            };
            let about_keys = matches!(kind, russh::AlgorithmKind::Key);
            Refusal {
                failure: failed(FailureCode::NoCommonAlgorithm).with("missing", what),
                server_host_key_algorithms: about_keys.then_some(theirs),
            }
        }
        russh::Error::UnknownKey => failed(FailureCode::NoCommonAlgorithm)
            .saying("The server's host key is of a kind or size that Keywright does not accept.")
            .with("missing", "host key")
            .into(),
        russh::Error::WrongServerSig => Failure::new(Stage::HostKey, FailureCode::HostKeyMismatch)
            .saying(
                "The server did not prove that it holds the host key it presented. Nothing was sent to it.",
            )
            .into(),
        russh::Error::IO(_) | russh::Error::Disconnect | russh::Error::HUP => match ended {
            Some(Ended::TooManyConnections) => failed(FailureCode::ServerBusy).into(),
            _ => failed(FailureCode::ConnectionClosed).into(),
        },
        _ => failed(FailureCode::NotAnSshServer)
            .saying("What listens on this port introduced itself as SSH but does not follow the protocol.")
            .into(),
    }
}

fn config(preferred: Preferred) -> client::Config {
    client::Config {
        client_id: SshId::Standard(CLIENT_ID.into()),
        preferred,
        // Small: thousands of logins may be in flight, and what is read is capped anyway.
        window_size: 256 * 1024,
        channel_buffer_size: 16,
        nodelay: true,
        ..client::Config::default()
    }
}
