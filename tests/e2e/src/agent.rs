//! `keywright agent`, and OpenSSH's programs that use it.

use std::path::{Path, PathBuf};

use keywright_kit::{Keywright, Output, Running, TestHost};
use tempfile::TempDir;
use tokio::process::Command;

use crate::LIMIT;

/// A running agent. It is killed when the value is dropped.
#[derive(Debug)]
pub struct SshAgent {
    running: Running,
    folder: TempDir,
}

impl SshAgent {
    /// With this token; waits until it serves.
    pub async fn start(keywright: &Keywright, token: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("keywright-agent-").tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let arguments = ["agent", "--socket", socket.to_str().unwrap()];
        let mut running = keywright.cli_running_as(token, &arguments);
        running.line(|line| line.contains("sign for you")).await;
        Self { running, folder }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// The next refusal that says this.
    pub async fn refuses(&mut self, why: &str) -> String {
        self.running.line(|line| line.contains("refused") && line.contains(why)).await
    }

    /// The next line that says this.
    pub async fn says(&mut self, what: &str) -> String {
        self.running.line(|line| line.contains(what)).await
    }

    /// OpenSSH's `ssh` with no other key than the agent's, the host's real keys pinned, no questions.
    pub async fn ssh(&self, host: &TestHost, user: &str, options: &[&str], command: &str) -> Output {
        let mut arguments = ssh_arguments(host, user, self.folder.path());
        arguments.splice(0..0, options.iter().map(ToString::to_string));
        arguments.push(command.to_owned());
        self.run("ssh", &arguments).await
    }

    /// Whether the agent opens the account.
    pub async fn opens(&self, host: &TestHost, user: &str) -> bool {
        let output = self.ssh(host, user, &[], "id -un").await;
        assert!(
            output.ok()
                || output.stderr.contains("Permission denied")
                || output.stderr.contains("agent refused"),
            "neither logged in nor refused: {output:?}"
        );
        output.ok() && output.stdout.trim() == user
    }

    /// A program with the agent in its environment.
    pub async fn run<S: AsRef<str>>(&self, program: &str, arguments: &[S]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments.iter().map(AsRef::as_ref)).env("SSH_AUTH_SOCK", self.socket());
        finished(&mut command).await
    }
}

/// What `ssh` is started with, as far as it is not about the key. The known hosts lie in the folder.
pub fn ssh_arguments(host: &TestHost, user: &str, folder: &Path) -> Vec<String> {
    let known_hosts = folder.join("known_hosts");
    std::fs::write(&known_hosts, host.known_hosts()).unwrap();
    let known_hosts = format!("UserKnownHostsFile={}", known_hosts.display());
    let (port, target) = (host.port().to_string(), format!("{user}@{}", host.address()));
    let options = [
        &known_hosts,
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "IdentityFile=none",
        "BatchMode=yes",
    ];
    let mut arguments: Vec<String> = ["-F", "none", "-T", "-p", &port].map(str::to_owned).into();
    arguments.extend(options.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
    arguments.extend(
        ["-o", "PreferredAuthentications=publickey", "-o", "LogLevel=ERROR", &target].map(str::to_owned),
    );
    arguments
}

/// Runs a program without input to its end.
pub async fn finished(command: &mut Command) -> Output {
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("it did not end").unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
