//! Syslog over TCP (RFC 6587, octet counting), TLS (RFC 5425) and UDP (RFC 5426).
//!
//! Syslog has no acknowledgement. Over TCP and TLS a batch is one connection: all is written, our side is closed, and
//! what was written counts as taken when the receiver has closed its side, which it does after it read to our end. A
//! receiver that stops reading, or dies with something unread, resets the connection or lets the time run out. Over UDP
//! nothing is known but that the network took it.

use super::destination::Why;
use super::syslog_message::{Cut, Host, message};
use crate::store::record::Record;
use keywright_egress::{Line, Lines, Target};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Tls,
    Udp,
}

pub struct Syslog {
    lines: Lines,
    transport: Transport,
    target: Target,
    host: Host,
}

impl Syslog {
    pub fn new(lines: Lines, transport: Transport, target: Target) -> Self {
        Self { lines, transport, target, host: Host::own() }
    }

    pub async fn send(&self, records: &[Record]) -> Result<(), Why> {
        let line = match self.transport {
            Transport::Udp => return self.send_datagrams(records).await,
            Transport::Tcp => self.lines.plain(&self.target).await?,
            Transport::Tls => self.lines.encrypted(&self.target, &[]).await?,
        };
        let mut frames = Vec::new();
        for record in records {
            let message = message(record, &self.host, Cut::Nothing);
            frames.extend_from_slice(format!("{} ", message.len()).as_bytes());
            frames.extend_from_slice(message.as_bytes());
        }
        Ok(hand_over(line, &frames).await?)
    }

    async fn send_datagrams(&self, records: &[Record]) -> Result<(), Why> {
        let addresses = self.lines.addresses(&self.target).await?;
        let address = addresses.first().ok_or("its name is not known")?;
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await.map_err(|_| "no socket")?;
        socket.connect(address).await.map_err(|_| "it cannot be reached")?;
        for record in records {
            let message = message(record, &self.host, Cut::ToDatagram);
            socket.send(message.as_bytes()).await.map_err(|_| "a datagram could not be sent")?;
        }
        Ok(())
    }
}

async fn hand_over(mut line: Line, bytes: &[u8]) -> Result<(), &'static str> {
    const LOST: &str = "the connection was lost";
    line.write_all(bytes).await.map_err(|_| LOST)?;
    line.shutdown().await.map_err(|_| LOST)?;
    let mut ignored = [0u8; 512];
    loop {
        match line.read(&mut ignored).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Closed without the end of TLS, as some receivers do.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(_) => return Err(LOST),
        }
    }
}
