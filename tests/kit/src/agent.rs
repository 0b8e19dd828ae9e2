//! OpenSSH's own `ssh-agent`, and the few of its messages that a test sends itself.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::daemon::Daemon;
use crate::error::{During, KitError};
use crate::process::{eventually, run_ok};
use crate::ssh::KeyPair;

const LIMIT: Duration = Duration::from_secs(20);

/// A running agent without keys. It ends with the value.
#[derive(Debug)]
pub struct HeldKeys {
    _daemon: Daemon,
    folder: TempDir,
}

impl HeldKeys {
    pub async fn start() -> Result<Self, KitError> {
        let made = tempfile::Builder::new().prefix("keywright-keys-").tempdir();
        let folder = made.during("making an agent's folder")?;
        let socket = folder.path().join("agent.sock");
        let argv = ["ssh-agent", "-D", "-a", socket.to_str().unwrap()];
        let daemon = Daemon::start(&argv, &folder.path().join("log"), "TERM", None)?;
        if !eventually(LIMIT, async || UnixStream::connect(&socket).is_ok()).await {
            let detail = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            return Err(KitError::Start { what: "ssh-agent", detail });
        }
        Ok(Self { _daemon: daemon, folder })
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// With the arguments of `ssh-add` before the file's name.
    pub async fn add(&self, key: &KeyPair, arguments: &[&str]) {
        self.ssh_add(arguments, Some(&key.private_file())).await;
    }

    pub async fn ssh_add(&self, arguments: &[&str], file: Option<&Path>) {
        let mut command = Command::new("ssh-add");
        command.arg("-q").args(arguments).args(file).env("SSH_AUTH_SOCK", self.socket());
        run_ok("ssh-add", &mut command).await.unwrap();
    }

    /// The signature of `data` by the key with this blob, in a session that the agent was told of; none where it refuses.
    pub fn sign(&self, session: [&[u8]; 3], blob: &[u8], data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        let bind =
            [&[27][..], &string(b"session-bind@openssh.com"), &session.map(string).concat(), &[0]].concat();
        assert_eq!(ask(&mut stream, &bind), [6], "the agent did not take the session");
        let sign = [&[13][..], &string(blob), &string(data), &flags.to_be_bytes()].concat();
        let answer = ask(&mut stream, &sign);
        // The kind of the answer, and the length of the signature.
        (answer[0] == 14).then(|| answer[5..].to_vec())
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn ask(stream: &mut UnixStream, message: &[u8]) -> Vec<u8> {
    stream.write_all(&string(message)).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    answer
}
