//! The stream between the SSH engine and the socket.
//!
//! Invariant: the engine runs in a task of its own that only ends when its stream does; so whoever owns the
//! connection holds its [`Leash`], and dropping that ends every read and write at once, in whatever state the engine
//! hangs.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::stream::Stream;

/// Ends the connection when dropped.
pub(crate) struct Leash {
    _held: oneshot::Sender<()>,
    linger: Arc<AtomicBool>,
}

impl Leash {
    /// From now on a shutdown waits for the server's end: a server that is still writing would otherwise meet a
    /// closed connection, and its log would show an error for an orderly goodbye.
    pub(crate) fn linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }
}

pub(crate) struct Wire {
    socket: Stream,
    /// Read before the engine started: the server's identification line and what followed it.
    replay: Bytes,
    /// How many bytes of the engine's output were already sent: our identification line.
    already_sent: usize,
    /// `None` once it was cut.
    leash: Option<oneshot::Receiver<()>>,
    linger: Arc<AtomicBool>,
}

impl Wire {
    pub(crate) fn new(socket: Stream, replay: Bytes, already_sent: usize) -> (Self, Leash) {
        let (held, leash) = oneshot::channel();
        let linger = Arc::new(AtomicBool::new(false));
        let wire = Self { socket, replay, already_sent, leash: Some(leash), linger: Arc::clone(&linger) };
        (wire, Leash { _held: held, linger })
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.leash.as_mut().is_some_and(|leash| Pin::new(leash).poll(cx).is_pending()) {
            return Ok(());
        }
        self.leash = None;
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        if self.replay.has_remaining() {
            let n = self.replay.remaining().min(buf.remaining());
            buf.put_slice(&self.replay.split_to(n));
            return Poll::Ready(Ok(()));
        }
        self.socket.acknowledge_quickly();
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        if self.already_sent > 0 && !buf.is_empty() {
            let n = self.already_sent.min(buf.len());
            self.already_sent -= n;
            return Poll::Ready(Ok(n));
        }
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        let mut rest = [0; 1024];
        while self.linger.load(Ordering::Relaxed) && self.poll_cut(cx).is_ok() {
            let mut rest = ReadBuf::new(&mut rest);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut rest));
            if read.is_err() || rest.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
