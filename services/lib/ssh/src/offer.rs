//! What a server offers, read from the first packet it sends and nothing further.
//!
//! Invariants: no key exchange is begun and nothing but our identification line is sent; the bytes and the packets that
//! are read have bounds, the time is the handshake's.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};
use tracing::instrument;

use crate::authenticate::LoginError;
use crate::banner::{self, Greeting};
use crate::dial::{Dialer, Resolved, Staged};
use crate::failure::{Failure, FailureCode, Stage};
use crate::kexinit::{AlgorithmOffer, Malformed};
use crate::stream::Stream;

/// RFC 4253 section 6: what every implementation must be able to take, and no more; packets fill whole blocks.
const MAX_PACKET: usize = 35_000;
const MIN_PACKET: usize = 12;
const BLOCK: usize = 8;
const MIN_PADDING: usize = 4;
/// SSH_MSG_IGNORE and SSH_MSG_DEBUG are allowed before the key exchange.
const MAX_SKIPPED: usize = 16;

const DISCONNECT: u8 = 1;
const IGNORE: u8 = 2;
const DEBUG: u8 = 4;
/// The reason SSH_DISCONNECT_TOO_MANY_CONNECTIONS.
const TOO_MANY_CONNECTIONS: [u8; 4] = [0, 0, 0, 12];

/// Who offers what. Nothing of it is authenticated: somebody on the path may have written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOffer {
    /// The identification line, such as `SSH-2.0-OpenSSH_9.2p1`.
    pub server_version: String,
    pub address: SocketAddr,
    pub offer: AlgorithmOffer,
}

/// No offer came.
enum Unread {
    Ended(FailureCode),
    Malformed(Malformed),
}

impl From<FailureCode> for Unread {
    fn from(code: FailureCode) -> Self {
        Self::Ended(code)
    }
}

impl From<Malformed> for Unread {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Dialer {
    /// Which algorithms the server offers: one connection, which ends before the key exchange. Took: the stage
    /// `handshake`, without the dialling. A server that waits for the client's offer first is a `HANDSHAKE_TIMEOUT`.
    #[instrument(skip_all)]
    pub async fn read_offer(&self, resolved: &Resolved) -> Result<Staged<ServerOffer>, LoginError> {
        let mut dialed = self.dial(resolved).await?.value;
        let started = Instant::now();
        let deadline = started + self.timeouts.handshake;
        let failed = |code| Failure::new(Stage::Handshake, code).after(started.elapsed());
        let Greeting { server_version, replay } =
            banner::exchange(&mut dialed.socket, deadline).await.map_err(failed)?;
        let mut packets = Packets { socket: &mut dialed.socket, heard: after_line(&replay).into() };
        let read = timeout_at(deadline, packets.offer());
        match read.await.unwrap_or(Err(FailureCode::HandshakeTimeout.into())) {
            Ok(offer) => {
                let address = dialed.address;
                Ok(Staged::since(started, ServerOffer { server_version, address, offer }))
            }
            Err(Unread::Ended(code)) => Err(failed(code).into()),
            Err(Unread::Malformed(malformed)) => Err(failed(FailureCode::NotAnSshServer)
                .saying(
                    "What listens on this port introduced itself as SSH but does not follow the protocol.",
                )
                .with("flaw", malformed.to_string())
                .into()),
        }
    }
}

/// What followed the identification line.
fn after_line(replay: &[u8]) -> &[u8] {
    let end = replay.iter().position(|&b| b == b'\n').map_or(replay.len(), |end| end + 1);
    replay.get(end..).unwrap_or_default()
}

/// Packets before encryption.
struct Packets<'a> {
    socket: &'a mut Stream,
    heard: BytesMut,
}

impl Packets<'_> {
    async fn offer(&mut self) -> Result<AlgorithmOffer, Unread> {
        for _ in 0..=MAX_SKIPPED {
            let packet = self.next().await?;
            let payload = payload(&packet)?;
            match payload.split_first() {
                Some((&(IGNORE | DEBUG), _)) => {}
                Some((&DISCONNECT, reason)) if reason.starts_with(&TOO_MANY_CONNECTIONS) => {
                    return Err(FailureCode::ServerBusy.into());
                }
                Some((&DISCONNECT, _)) => return Err(FailureCode::ConnectionClosed.into()),
                _ => return Ok(AlgorithmOffer::parse(payload)?),
            }
        }
        Err(Malformed::Message.into())
    }

    /// The next packet without its length.
    async fn next(&mut self) -> Result<Bytes, Unread> {
        let head = self.take(4).await?;
        let length = head.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let length = usize::try_from(length).map_err(|_| Malformed::Packet)?;
        if !(MIN_PACKET..=MAX_PACKET).contains(&length) || !(length + 4).is_multiple_of(BLOCK) {
            return Err(Malformed::Packet.into());
        }
        self.take(length).await
    }

    async fn take(&mut self, n: usize) -> Result<Bytes, Unread> {
        while self.heard.len() < n {
            match self.socket.read_buf(&mut self.heard).await {
                Ok(read) if read > 0 => {}
                _ => return Err(FailureCode::ConnectionClosed.into()),
            }
        }
        Ok(self.heard.split_to(n).freeze())
    }
}

/// Without the padding and its length.
fn payload(packet: &[u8]) -> Result<&[u8], Malformed> {
    let (&padding, rest) = packet.split_first().ok_or(Malformed::Packet)?;
    let padding = usize::from(padding);
    let end = rest.len().checked_sub(padding).filter(|&end| end > 0 && padding >= MIN_PADDING);
    end.and_then(|end| rest.get(..end)).ok_or(Malformed::Packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kexinit;

    #[test]
    fn padding_is_taken_off() {
        assert_eq!(payload(&[4, kexinit::MESSAGE, 9, 0, 0, 0, 0]), Ok(&[kexinit::MESSAGE, 9][..]));
        for bad in [&[][..], &[0, 20], &[3, 20, 0, 0, 0], &[4, 0, 0, 0, 0], &[5, 20, 0, 0, 0], &[255, 20]] {
            assert_eq!(payload(bad), Err(Malformed::Packet), "{bad:?}");
        }
    }

    #[test]
    fn what_followed_the_identification_is_kept() {
        assert_eq!(after_line(b"SSH-2.0-x\r\n\0\0\n"), b"\0\0\n");
        assert_eq!(after_line(b"SSH-2.0-x\r\n"), b"");
        assert_eq!(after_line(b""), b"");
    }
}
