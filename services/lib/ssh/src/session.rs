//! Stage `session`: commands on a server where we are logged in.
//!
//! Invariant: output is bounded in size and time; a command whose end was not seen has no status.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use keywright_domain::key::PublicKey;
use russh::ChannelMsg;
use tokio::time::{Instant, timeout_at};
use tracing::instrument;

use crate::dial::Staged;
use crate::failure::{Failure, FailureCode, Stage};
use crate::handshake::Link;

/// Bounds of one command.
#[derive(Debug, Clone, Copy)]
pub struct ExecLimits {
    /// Of standard output, and of standard error, in bytes. A command that says more is cut off.
    pub output: usize,
    /// From opening the channel to the end of the command.
    pub deadline: Duration,
}

impl Default for ExecLimits {
    fn default() -> Self {
        Self { output: 256 * 1024, deadline: Duration::from_secs(30) }
    }
}

/// What a command did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// `None` if it was killed by a signal, cut off, or not seen to end.
    pub status: Option<u32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// It said more than the limit; its end was not awaited.
    pub truncated: bool,
    /// The deadline came before the end of the output. Without a status the command may still run; with one, something
    /// that it started holds the output open.
    pub timed_out: bool,
}

impl ExecOutput {
    pub fn succeeded(&self) -> bool {
        self.status == Some(0)
    }
}

/// A logged-in connection. Dropping it ends it; [`Session::close`] does so politely.
pub struct Session {
    link: Link,
}

/// Answers only from a real shell: the forced command that prints what was asked for gives itself away.
const SHELL_QUESTION: &str = "/bin/sh -c 'echo keywright-$((6*7))'";
const SHELL_ANSWER: &[u8] = b"keywright-42";
/// The status of a session that sshd itself ends because of /etc/nologin.
const SSHD_NOLOGIN_STATUS: u32 = 254;

impl Session {
    pub(crate) fn new(link: Link) -> Self {
        Self { link }
    }

    /// For other uses of the connection than commands.
    pub(crate) fn into_link(self) -> Link {
        self.link
    }

    pub fn server_version(&self) -> &str {
        &self.link.peer.server_version
    }

    pub fn host_key(&self) -> &PublicKey {
        &self.link.peer.host_key
    }

    pub fn address(&self) -> SocketAddr {
        self.link.peer.address
    }

    /// Our end: what the server sees as the client.
    pub fn local(&self) -> SocketAddr {
        self.link.peer.local
    }

    /// Stage `session`: whether the account gets a shell that runs what we ask for.
    #[instrument(skip_all)]
    pub async fn check(&self) -> Result<Staged<()>, Failure> {
        let started = Instant::now();
        let limits = ExecLimits { output: 64 * 1024, deadline: self.link.timeouts.session };
        let output = self.exec(SHELL_QUESTION, b"", limits).await.map_err(|f| f.after(started.elapsed()))?;
        match verdict(&output) {
            None => Ok(Staged::since(started, ())),
            Some(code) => {
                let failure = Failure::new(Stage::Session, code).after(started.elapsed());
                Err(if output.timed_out {
                    failure.saying("The login works, but the first command did not end in time.")
                } else {
                    failure
                })
            }
        }
    }

    /// Runs a command with `stdin` on its standard input.
    #[instrument(skip_all)]
    pub async fn exec(&self, command: &str, stdin: &[u8], limits: ExecLimits) -> Result<ExecOutput, Failure> {
        let started = Instant::now();
        let deadline = started + limits.deadline;
        let failed = |code| Failure::new(Stage::Session, code).after(started.elapsed());
        let channel = match timeout_at(deadline, self.link.handle.channel_open_session()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(russh::Error::ChannelOpenFailure(_))) | Err(_) => {
                return Err(failed(FailureCode::SessionRefused));
            }
            Ok(Err(_)) => return Err(failed(FailureCode::ConnectionClosed)),
        };
        let (mut incoming, outgoing) = channel.split();
        let stdin = Bytes::copy_from_slice(stdin);
        let write = async {
            // Failures show on the reading side.
            let _ = outgoing.exec(true, command).await;
            let _ = outgoing.data_bytes(stdin).await;
            let _ = outgoing.eof().await;
            std::future::pending::<()>().await;
        };
        let mut gathered = Gathered { limit: limits.output, ..Gathered::default() };
        let read = async {
            while let Some(message) = incoming.wait().await {
                if let Some(end) = gathered.take(message) {
                    return end;
                }
            }
            End::Lost
        };
        let end = tokio::select! {
            end = timeout_at(deadline, read) => end.unwrap_or(End::Late),
            () = write => End::Lost,
        };
        // The engine frees the channel when both sides have closed it.
        let _ = timeout_at(deadline, outgoing.close()).await;
        let mut output = gathered.output;
        match end {
            End::Refused => return Err(failed(FailureCode::SessionRefused)),
            End::Lost if output.status.is_none() && !gathered.killed => {
                return Err(failed(FailureCode::ConnectionClosed));
            }
            End::Late => output.timed_out = true,
            End::Cut => output.truncated = true,
            End::Lost | End::Closed => {}
        }
        Ok(output)
    }

    /// The server has hung up, as far as is known here.
    pub fn is_closed(&self) -> bool {
        self.link.handle.is_closed()
    }

    /// Ends the connection in the protocol's words.
    pub async fn close(self) {
        self.link.hang_up().await;
    }
}

enum End {
    Closed,
    /// The channel ended without a word.
    Lost,
    Refused,
    Cut,
    Late,
}

#[derive(Default)]
struct Gathered {
    output: ExecOutput,
    limit: usize,
    killed: bool,
}

impl Gathered {
    fn take(&mut self, message: ChannelMsg) -> Option<End> {
        match message {
            ChannelMsg::Data { data } => append(&mut self.output.stdout, &data, self.limit),
            ChannelMsg::ExtendedData { data, .. } => append(&mut self.output.stderr, &data, self.limit),
            ChannelMsg::ExitStatus { exit_status } => {
                self.output.status = Some(exit_status);
                None
            }
            ChannelMsg::ExitSignal { .. } => {
                self.killed = true;
                None
            }
            ChannelMsg::Failure => Some(End::Refused),
            ChannelMsg::Close => Some(End::Closed),
            _ => None,
        }
    }
}

fn append(to: &mut Vec<u8>, data: &[u8], limit: usize) -> Option<End> {
    let room = limit.saturating_sub(to.len());
    to.extend_from_slice(data.get(..room).unwrap_or(data));
    (data.len() > room).then_some(End::Cut)
}

/// Why this is not the answer of a shell. `None`: it is.
fn verdict(output: &ExecOutput) -> Option<FailureCode> {
    let lines = || output.stdout.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    if lines().any(|line| line == SHELL_ANSWER) {
        return None;
    }
    if output.timed_out {
        return Some(FailureCode::SessionRefused);
    }
    // nologin(8) says so and fails; false(1) fails without a word; sshd ends the session itself for /etc/nologin.
    let says_so = lines().any(|line| line.ends_with(b"account is currently not available."));
    let silent_failure = output.status == Some(1) && output.stdout.is_empty() && output.stderr.is_empty();
    if says_so || silent_failure || output.status == Some(SSHD_NOLOGIN_STATUS) {
        return Some(FailureCode::Nologin);
    }
    if starts_no_shell(output) {
        return Some(FailureCode::SessionRefused);
    }
    Some(FailureCode::ForcedCommand)
}

/// In a changed root that lacks the account's shell, sshd cannot start it and says so, in the words of the C library.
fn starts_no_shell(output: &ExecOutput) -> bool {
    let last = output.stderr.trim_ascii_end().rsplit(|&b| b == b'\n').next().unwrap_or_default();
    let says_so = last.starts_with(b"/") && last.ends_with(b": No such file or directory");
    says_so && output.status == Some(1) && output.stdout.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u32, stdout: &str) -> ExecOutput {
        ExecOutput { status: Some(status), stdout: stdout.as_bytes().to_vec(), ..ExecOutput::default() }
    }

    #[test]
    fn a_shell_is_told_from_what_stands_in_for_it() {
        assert_eq!(verdict(&said(0, "Welcome!\nkeywright-42\r\n")), None);
        assert_eq!(verdict(&said(0, SHELL_QUESTION)), Some(FailureCode::ForcedCommand));
        assert_eq!(verdict(&said(0, "")), Some(FailureCode::ForcedCommand));
        assert_eq!(
            verdict(&said(1, "This account is currently not available.\n")),
            Some(FailureCode::Nologin)
        );
        assert_eq!(verdict(&said(1, "")), Some(FailureCode::Nologin));
        assert_eq!(verdict(&said(254, "")), Some(FailureCode::Nologin));
        let rootless = b"/bin/sh: No such file or directory\n".to_vec();
        let rootless = ExecOutput { status: Some(1), stderr: rootless, ..ExecOutput::default() };
        assert_eq!(verdict(&rootless), Some(FailureCode::SessionRefused));
        let not_found = b"sh: 1: menu: not found\n".to_vec();
        let not_found = ExecOutput { status: Some(127), stderr: not_found, ..ExecOutput::default() };
        assert_eq!(verdict(&not_found), Some(FailureCode::ForcedCommand));
        let late = ExecOutput { timed_out: true, ..ExecOutput::default() };
        assert_eq!(verdict(&late), Some(FailureCode::SessionRefused));
    }

    #[test]
    fn output_is_cut_at_the_limit() {
        let mut out = Vec::new();
        assert!(append(&mut out, b"abc", 4).is_none());
        assert!(append(&mut out, b"d", 4).is_none());
        assert!(matches!(append(&mut out, b"efg", 4), Some(End::Cut)));
        assert_eq!(out, b"abcd");
    }
}
