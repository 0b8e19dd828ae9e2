//! The SSH server of a test host: its keys, its configuration, its start and its end.
//!
//! Invariant: after [`start`] the server listens; after [`stop`] nothing listens and no session is touched.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::namespace::Namespace;
use super::openssh_10;
use crate::error::{During, KitError};
use crate::port::{Port, listening};
use crate::process::{eventually, program, run_ok};

const LIMIT: Duration = Duration::from_secs(20);
const KEY_TYPES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The machine's own.
    OpenSsh,
    OpenSsh10,
    Dropbear,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::OpenSsh => "sshd",
            Self::OpenSsh10 => "sshd of OpenSSH 10",
            Self::Dropbear => "dropbear",
        }
    }

    /// Its program, as the host whose state lies in this folder sees it.
    pub(super) fn program(self, state: &Path) -> Result<PathBuf, KitError> {
        match self {
            Self::OpenSsh => program("sshd", &[], "apt-get install openssh-server (tests/run does it)"),
            Self::OpenSsh10 => openssh_10::bring(state),
            Self::Dropbear => program("dropbear", &[], "apt-get install dropbear-bin (tests/run does it)"),
        }
    }
}

/// Generates the host keys with the server's own tool; answers the public lines, without comments.
pub(super) async fn make_keys(kind: Kind, state: &Path) -> Result<Vec<String>, KitError> {
    let mut lines = Vec::new();
    for key_type in KEY_TYPES {
        let file = state.join(format!("host_{key_type}"));
        let bits = if key_type == "rsa" { "2048" } else { "256" };
        let text = match kind {
            Kind::OpenSsh | Kind::OpenSsh10 => {
                let mut keygen = tokio::process::Command::new("ssh-keygen");
                keygen.args(["-q", "-t", key_type, "-b", bits, "-N", "", "-C", "test-host", "-f"]).arg(&file);
                run_ok("ssh-keygen", &mut keygen).await?;
                std::fs::read_to_string(file.with_extension("pub")).during("reading a host key")?
            }
            Kind::Dropbear => {
                let mut keygen = tokio::process::Command::new("dropbearkey");
                keygen.args(["-t", key_type]);
                if key_type != "ed25519" {
                    keygen.args(["-s", bits]);
                }
                run_ok("dropbearkey", keygen.arg("-f").arg(&file)).await?
            }
        };
        let line = text.lines().find(|line| line.starts_with("ssh-") || line.starts_with("ecdsa-"));
        let line = line.ok_or(KitError::Start { what: "a host key", detail: text.clone() })?;
        lines.push(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    }
    Ok(lines)
}

/// The whole sshd configuration; `extra` comes first, since sshd takes the first value of a setting.
pub(super) fn sshd_config(kind: Kind, place: &Place, extra: &[String]) -> String {
    let mut text: String =
        extra.iter().take_while(|line| !is_match(line)).map(|line| format!("{line}\n")).collect();
    for address in place.addresses() {
        text += &format!("ListenAddress {address}\n");
    }
    if kind == Kind::OpenSsh10 {
        text += openssh_10::SETTINGS;
    }
    text += "PidFile /run/host/server.pid\n";
    for key_type in KEY_TYPES {
        text += &format!("HostKey /run/host/host_{key_type}\n");
    }
    text += "AuthorizedKeysFile .ssh/authorized_keys\n\
             LogLevel VERBOSE\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\n\
             StrictModes yes\n\
             UseDNS no\n\
             UsePAM no\n\
             Subsystem sftp internal-sftp\n";
    // Of this one sshd takes the last mention, not the first.
    if !extra.iter().any(|line| line.starts_with("MaxStartups")) {
        text += "MaxStartups 100:30:200\n";
    }
    // A Match block reaches to the end of the file.
    let blocks = extra.iter().skip_while(|line| !is_match(line));
    text + &blocks.map(|line| format!("{line}\n")).collect::<String>()
}

fn is_match(line: &str) -> bool {
    line.trim_start().to_ascii_lowercase().starts_with("match ")
}

/// Where a server listens.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) port: Port,
    /// On ::1 as well.
    pub(super) ipv6: bool,
}

impl Place {
    fn addresses(&self) -> Vec<SocketAddr> {
        let v6 = self.ipv6.then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let all = [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), v6];
        all.into_iter().flatten().map(|ip| SocketAddr::new(ip, self.port.number())).collect()
    }

    async fn is_listened_on(&self) -> bool {
        eventually(LIMIT, async || self.addresses().into_iter().all(listening)).await
    }

    async fn is_left(&self) -> bool {
        eventually(LIMIT, async || !self.addresses().into_iter().any(listening)).await
    }
}

/// Starts the server inside and waits until it listens.
pub(super) async fn start(
    namespace: &Namespace,
    kind: Kind,
    program: &Path,
    place: &Place,
) -> Result<(), KitError> {
    let program = format!("{} {}", namespace.clock(), program.display());
    let server = match kind {
        Kind::OpenSsh | Kind::OpenSsh10 => {
            format!("exec {program} -D -f /run/host/sshd_config -E /run/host/server.log")
        }
        Kind::Dropbear => {
            let keys: String =
                KEY_TYPES.iter().map(|key_type| format!(" -r /run/host/host_{key_type}")).collect();
            let addresses: String =
                place.addresses().into_iter().map(|address| format!(" -p {address}")).collect();
            format!(
                "exec {program} -F -E -s{addresses}{keys} -P /run/host/server.pid 2>>/run/host/server.log"
            )
        }
    };
    // In a session of its own, so that it is nobody's child but process 1's, which reaps it.
    let script = format!("setsid sh -c '{server}' </dev/null >/dev/null 2>>/run/host/start.log &");
    namespace.exec(&["sh", "-c", &script], b"").await?;
    if place.is_listened_on().await {
        return Ok(());
    }
    let log = |name: &str| std::fs::read_to_string(namespace.state().join(name)).unwrap_or_default();
    Err(KitError::Timeout { what: kind.name(), detail: log("start.log") + &log("server.log") })
}

/// Ends the listening server; open sessions go on, as on a real host.
pub(super) async fn stop(namespace: &Namespace, place: &Place) -> Result<(), KitError> {
    namespace.exec(&["sh", "-c", "kill \"$(cat /run/host/server.pid)\""], b"").await?;
    if place.is_left().await {
        return Ok(());
    }
    Err(KitError::Timeout { what: "the end of the SSH server", detail: String::new() })
}
