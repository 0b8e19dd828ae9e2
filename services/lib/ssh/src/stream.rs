//! What carries a connection: a socket, or a channel through a jump host.
//!
//! Invariants: a stream through a jump host holds the connection to it, and dropping the stream ends both; what comes
//! through a jump host is taken off its connection at once, so that an engine that waits to write never holds up the very
//! messages that would let it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use russh::Channel;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use crate::handshake::Link;

/// An open way to a server, for SSH or for a protocol of one's own.
pub struct Stream(Kind);

enum Kind {
    Direct(TcpStream),
    Through { incoming: DuplexStream, outgoing: Outgoing, _jump_host: Box<Link> },
}

type Outgoing = Pin<Box<dyn AsyncWrite + Send>>;

/// What a target may be ahead of its reader. More than any command that is run may answer.
const AHEAD: usize = 8 * 1024 * 1024;

impl Stream {
    pub(crate) fn direct(socket: TcpStream) -> Self {
        Self(Kind::Direct(socket))
    }

    pub(crate) fn through(jump_host: Link, channel: Channel<Msg>) -> Self {
        let (mut channel, outgoing) = channel.split();
        let (incoming, mut ahead) = tokio::io::duplex(AHEAD);
        // Ends with the channel, which ends with the connection that this stream holds.
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut channel.make_reader(), &mut ahead).await;
        });
        let outgoing = Box::pin(outgoing.make_writer());
        Self(Kind::Through { incoming, outgoing, _jump_host: Box::new(jump_host) })
    }

    /// A server that waits for our acknowledgement before it sends its next small packet would wait for the kernel's
    /// delay; the kernel forgets this wish, so it is renewed. Where it cannot be had, only time is lost.
    pub(crate) fn acknowledge_quickly(&self) {
        #[cfg(target_os = "linux")]
        if let Kind::Direct(socket) = &self.0 {
            let _ = socket.set_quickack(true);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Direct(socket) => Pin::new(socket).poll_read(cx, buf),
            Kind::Through { incoming, .. } => Pin::new(incoming).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Direct(socket) => Pin::new(socket).poll_write(cx, buf),
            Kind::Through { outgoing, .. } => outgoing.as_mut().poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Direct(socket) => Pin::new(socket).poll_flush(cx),
            Kind::Through { outgoing, .. } => outgoing.as_mut().poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Direct(socket) => Pin::new(socket).poll_shutdown(cx),
            Kind::Through { outgoing, .. } => outgoing.as_mut().poll_shutdown(cx),
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Kind::Direct(_) => "Stream(direct)",
            Kind::Through { .. } => "Stream(through a jump host)",
        })
    }
}
