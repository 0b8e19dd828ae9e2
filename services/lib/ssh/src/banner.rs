//! The identification lines, judged before the SSH engine sees them: whether an SSH server is there at all.
//!
//! Ours is sent first, since a server of another protocol that waits for its client would otherwise never show itself.
//! Invariant: reads a bounded number of bytes.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::failure::FailureCode;
use crate::stream::Stream;

pub(crate) const CLIENT_ID: &str = concat!("SSH-2.0-Keywright_", env!("CARGO_PKG_VERSION"));
/// With its line end: what the engine will try to send once more.
pub(crate) const CLIENT_ID_SENT: usize = CLIENT_ID.len() + 2;

/// RFC 4253 section 4.2: an identification line has at most 255 bytes; lines before it are allowed.
const MAX_LINE: usize = 255;
const MAX_LINES_BEFORE: usize = 20;

/// A server that said it speaks SSH 2.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// The identification line, printable ASCII only.
    pub(crate) server_version: String,
    /// From the identification line on: for the engine.
    pub(crate) replay: Bytes,
}

/// What one line from the server means.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Identification,
    /// Allowed before the identification.
    Preliminary,
    Hopeless(FailureCode),
}

pub(crate) async fn exchange(socket: &mut Stream, deadline: Instant) -> Result<Greeting, FailureCode> {
    let mut heard = Heard { lines_before: 0, seen: BytesMut::with_capacity(512) };
    match timeout_at(deadline, converse(socket, &mut heard)).await {
        Ok(result) => result,
        Err(_) => Err(heard.silent(FailureCode::HandshakeTimeout)),
    }
}

/// What came from the server so far.
struct Heard {
    lines_before: usize,
    /// After those lines.
    seen: BytesMut,
}

impl Heard {
    /// Time or the connection ended. A server that spoke, but not SSH, is told by what it said.
    fn silent(&self, otherwise: FailureCode) -> FailureCode {
        if let Line::Hopeless(code) = judge(&self.seen) {
            return code;
        }
        let could_be_ssh = self.lines_before == 0 && self.seen.iter().zip(b"SSH-").all(|(a, b)| a == b);
        if could_be_ssh { otherwise } else { FailureCode::NotAnSshServer }
    }
}

async fn converse(socket: &mut Stream, heard: &mut Heard) -> Result<Greeting, FailureCode> {
    // A server that closes at once may still have said why: the failed write is found out by the read.
    let _ = socket.write_all(format!("{CLIENT_ID}\r\n").as_bytes()).await;
    loop {
        let Heard { lines_before, seen } = heard;
        while let Some(end) = seen.iter().position(|&b| b == b'\n') {
            match judge(seen.get(..end).unwrap_or_default()) {
                Line::Identification => {
                    let line = seen.get(..end).unwrap_or_default();
                    return Ok(Greeting { server_version: printable(line), replay: seen.split().freeze() });
                }
                Line::Hopeless(code) => return Err(code),
                Line::Preliminary => {
                    *lines_before += 1;
                    let _ = seen.split_to(end + 1);
                    if *lines_before > MAX_LINES_BEFORE {
                        return Err(FailureCode::NotAnSshServer);
                    }
                }
            }
        }
        // Without a line end: some protocols show themselves by their first bytes and then wait.
        if let Line::Hopeless(code) = judge(seen)
            && code == FailureCode::NotAnSshServer
        {
            return Err(code);
        }
        match socket.read_buf(seen).await {
            Ok(n) if n > 0 => {}
            _ => return Err(heard.silent(FailureCode::ConnectionClosed)),
        }
    }
}

fn judge(line: &[u8]) -> Line {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-") {
        return if line.len() + 2 <= MAX_LINE {
            Line::Identification
        } else {
            Line::Hopeless(FailureCode::NotAnSshServer)
        };
    }
    let text = String::from_utf8_lossy(line);
    if text.starts_with("SSH-1.") && line.len() > 8 {
        return Line::Hopeless(FailureCode::NoCommonAlgorithm);
    }
    // What sshd says, in place of its identification, when MaxStartups or PerSourcePenalties turn a client away.
    if text.starts_with("Exceeded MaxStartups") || text.starts_with("Not allowed at this time") {
        return Line::Hopeless(FailureCode::ServerBusy);
    }
    let other =
        ["HTTP/", "<!DOCTYPE", "<html", "<?xml", "220 ", "220-", "554 ", "* OK", "+OK", "-ERR", "RFB 0"];
    let binary = line.iter().any(|&b| b < 0x20 && b != b'\t' && b != b'\r');
    if binary || line.len() > MAX_LINE || other.iter().any(|prefix| text.starts_with(prefix)) {
        return Line::Hopeless(FailureCode::NotAnSshServer);
    }
    Line::Preliminary
}

fn printable(line: &[u8]) -> String {
    line.iter().filter(|b| (0x20..0x7f).contains(*b)).map(|&b| char::from(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        use FailureCode::{NoCommonAlgorithm, NotAnSshServer, ServerBusy};
        for (line, expected) in [
            (&b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r"[..], Line::Identification),
            (b"SSH-1.99-Cisco-1.25", Line::Identification),
            (b"SSH-1.5-old_server", Line::Hopeless(NoCommonAlgorithm)),
            (b"Welcome to the lab", Line::Preliminary),
            (b"", Line::Preliminary),
            (b"Exceeded MaxStartups\r", Line::Hopeless(ServerBusy)),
            (b"Not allowed at this time\r", Line::Hopeless(ServerBusy)),
            (b"HTTP/1.1 400 Bad Request\r", Line::Hopeless(NotAnSshServer)),
            (b"220 mail.example.org ESMTP\r", Line::Hopeless(NotAnSshServer)),
            (b"\x15\x03\x01\x00\x02\x02\x16", Line::Hopeless(NotAnSshServer)),
            (&[b'A'; 256], Line::Hopeless(NotAnSshServer)),
        ] {
            assert_eq!(judge(line), expected, "{}", line.escape_ascii());
        }
        let long = [b"SSH-2.0-".as_slice(), &[b'A'; 300]].concat();
        assert_eq!(judge(&long), Line::Hopeless(NotAnSshServer));
    }

    #[test]
    fn silence_is_judged_by_what_came_before_it() {
        let after = |lines_before, seen: &str| {
            Heard { lines_before, seen: seen.into() }.silent(FailureCode::HandshakeTimeout)
        };
        assert_eq!(after(0, ""), FailureCode::HandshakeTimeout);
        assert_eq!(after(0, "SS"), FailureCode::HandshakeTimeout);
        assert_eq!(after(0, "SSH-2.0-slow"), FailureCode::HandshakeTimeout);
        assert_eq!(after(0, "hello"), FailureCode::NotAnSshServer);
        assert_eq!(after(1, ""), FailureCode::NotAnSshServer);
        assert_eq!(after(0, "Exceeded MaxStartups"), FailureCode::ServerBusy);
    }
}
