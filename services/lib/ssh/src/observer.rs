//! The SSH engine's callbacks: they judge the host key and write down what happened, and accept nothing else.
//!
//! Invariant: the engine is told to go on only after a `Pinned` verdict; channels that a server tries to open towards
//! us are refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keywright_domain::key::{Certificate, PublicKey};
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, Disconnect, Names};
use tokio::time::Instant;

use crate::handshake::KeyExchange;
use crate::host_key::{HostKeyVerdict, Judge};

/// How a connection ended, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server refused the key and named no method to go on with.
    NoMethodLeft,
    /// The server ended the connection because of the refused attempt (MaxAuthTries 1).
    TooManyAttempts,
    TooManyConnections,
    Otherwise,
}

#[derive(Default)]
pub(crate) struct Observed {
    pub(crate) host_key: Option<PublicKey>,
    pub(crate) verdict: Option<HostKeyVerdict>,
    pub(crate) verdict_took: Duration,
    pub(crate) key_exchange: Option<KeyExchange>,
    pub(crate) ended: Option<Ended>,
    pub(crate) signed: bool,
    /// Whoever holds the key is at it: until then the server waits for us.
    pub(crate) signing: bool,
    /// A text for the user came after our signature: the server explains why it goes no further.
    pub(crate) explained_after_signing: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Observed>>);

impl Notes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Observer {
    pub(crate) judge: Judge,
    pub(crate) notes: Notes,
}

impl Handler for Observer {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let started = Instant::now();
        let (key, verdict) = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                let Ok(key) = PublicKey::from_blob(&key.to_bytes()?) else { return Ok(false) };
                let verdict = self.judge.on_key(&key);
                (key, verdict)
            }
            PublicKeyOrCertificate::Certificate(certificate) => {
                let Ok(certificate) = Certificate::from_blob(&certificate.to_bytes()?) else {
                    return Ok(false);
                };
                (certificate.public_key().clone(), self.judge.on_certificate(&certificate))
            }
        };
        let trusted = verdict == HostKeyVerdict::Pinned;
        let mut notes = self.notes.lock();
        notes.host_key = Some(key);
        notes.verdict = Some(verdict);
        notes.verdict_took = started.elapsed();
        Ok(trusted)
    }

    async fn kex_done(
        &mut self,
        _shared_secret: Option<&[u8]>,
        names: &Names,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.notes.lock().key_exchange.get_or_insert_with(|| KeyExchange::of(names));
        Ok(())
    }

    async fn auth_banner(&mut self, _text: &str, _session: &mut Session) -> Result<(), Self::Error> {
        let mut notes = self.notes.lock();
        notes.explained_after_signing |= notes.signed;
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let ended = match &reason {
            DisconnectReason::Error(russh::Error::NoAuthMethod) => Ended::NoMethodLeft,
            DisconnectReason::ReceivedDisconnect(info) => match info.reason_code {
                Disconnect::TooManyConnections => Ended::TooManyConnections,
                Disconnect::NoMoreAuthMethodsAvailable => Ended::TooManyAttempts,
                // OpenSSH gives its reason for this one in words only.
                _ if info.message.starts_with("Too many authentication failures") => Ended::TooManyAttempts,
                _ => Ended::Otherwise,
            },
            DisconnectReason::Error(_) => Ended::Otherwise,
        };
        self.notes.lock().ended.get_or_insert(ended);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(e) => Err(e),
        }
    }

    // A reply that is dropped is a refusal; the engine's defaults would accept.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }
}
