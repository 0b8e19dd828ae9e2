//! A host with a real SSH server: OpenSSH's or Dropbear, in a namespace of its own on loopback.
//!
//! Invariant: what happens on a test host stays there. Accounts, keys, logs and processes end with the value.

mod accounts;
mod busybox;
mod daemon;
mod namespace;
mod openssh_10;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use accounts::Account;

use crate::error::{During, KitError};
use crate::port::free_port;
use crate::process::Output;
use daemon::{Kind, Place};
use namespace::Namespace;

/// What differs from an ordinary host.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    config: Vec<String>,
    busybox: bool,
    clock: i64,
    sudoers: Option<String>,
    programs: Vec<(PathBuf, String)>,
    ipv6: bool,
}

impl HostOptions {
    /// A line of sshd_config that goes before ours; from the first `Match` line on, they go to the end.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// A file of rules for `sudo`, beside what the machine's own sudoers say.
    pub fn sudoers(mut self, rules: impl Into<String>) -> Self {
        self.sudoers = Some(rules.into());
        self
    }

    /// An executable file of root's below /usr/local, of which the host then sees nothing else.
    pub fn program(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.programs.push((path.into(), text.into()));
        self
    }

    /// Its clock is so many seconds ahead: for its SSH server, and for whoever asks `date`.
    pub fn clock(mut self, ahead: i64) -> Self {
        self.clock = ahead;
        self
    }

    /// It listens on ::1 too, on the same port.
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// Every command of the host is BusyBox's.
    pub fn busybox(mut self) -> Self {
        self.busybox = true;
        self
    }
}

/// A running host. Dropping it kills everything inside.
#[derive(Debug)]
pub struct TestHost {
    namespace: Namespace,
    kind: Kind,
    program: PathBuf,
    place: Place,
    host_keys: Vec<String>,
}

impl TestHost {
    /// A host with OpenSSH's sshd: keys only, `StrictModes yes`, `LogLevel VERBOSE`, root by key.
    pub async fn openssh(options: HostOptions) -> Result<Self, KitError> {
        Self::start(Kind::OpenSsh, options).await
    }

    /// The same with the sshd of OpenSSH 10, which keeps account of the sources that trouble it (PerSourcePenalties).
    pub async fn openssh_10(options: HostOptions) -> Result<Self, KitError> {
        Self::start(Kind::OpenSsh10, options).await
    }

    /// A host with Dropbear: keys only.
    pub async fn dropbear(options: HostOptions) -> Result<Self, KitError> {
        Self::start(Kind::Dropbear, options).await
    }

    async fn start(kind: Kind, options: HostOptions) -> Result<Self, KitError> {
        let namespace = Namespace::start(&options).await?;
        let program = kind.program(&namespace.state())?;
        let place = Place { port: free_port()?, ipv6: options.ipv6 };
        let host_keys = daemon::make_keys(kind, &namespace.state()).await?;
        let config = daemon::sshd_config(kind, &place, &options.config);
        std::fs::write(namespace.state().join("sshd_config"), config).during("writing sshd_config")?;
        daemon::start(&namespace, kind, &program, &place).await?;
        Ok(Self { namespace, kind, program, place, host_keys })
    }

    pub fn address(&self) -> &'static str {
        "127.0.0.1"
    }

    pub fn port(&self) -> u16 {
        self.place.port.number()
    }

    /// The public host keys as OpenSSH writes them (`type base64`): Ed25519, ECDSA P-256, RSA.
    pub fn host_keys(&self) -> Vec<String> {
        self.host_keys.clone()
    }

    /// All host keys as lines of a known_hosts file.
    pub fn known_hosts(&self) -> String {
        let name = format!("[{}]:{}", self.address(), self.port());
        self.host_keys.iter().map(|key| format!("{name} {key}\n")).collect()
    }

    /// The Ed25519 host key as a line of a known_hosts file.
    pub fn known_hosts_line(&self) -> String {
        format!("[{}]:{} {}", self.address(), self.port(), self.host_keys[0])
    }

    /// Gives the host new keys, as a reinstalled one has, and restarts the server.
    pub async fn replace_host_keys(&mut self) {
        self.stop_server().await;
        for entry in std::fs::read_dir(self.namespace.state()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("host_")) {
                std::fs::remove_file(path).unwrap();
            }
        }
        self.host_keys = daemon::make_keys(self.kind, &self.namespace.state()).await.unwrap();
        self.start_server().await;
    }

    /// Adds an account with the password field `*`, `/bin/sh` and a home; answers its uid (and gid).
    pub fn add_user(&self, name: &str) -> u32 {
        self.add_user_at(name, &Path::new("/home").join(name))
    }

    /// Adds an account whose home lies on the small disk of 256 KiB below /srv.
    pub fn add_user_on_small_disk(&self, name: &str) -> u32 {
        self.add_user_at(name, &Path::new("/srv").join(name))
    }

    fn add_user_at(&self, name: &str, home: &Path) -> u32 {
        let account = accounts::add(&self.namespace.etc(), name, home).unwrap();
        accounts::make_home(&account, &self.namespace.outside(home)).unwrap();
        account.uid
    }

    /// Fills the small disk below /srv to the last byte.
    pub async fn fill_small_disk(&self) {
        self.exec(&["sh", "-c", "cat /dev/zero >/srv/filler 2>/dev/null"]).await;
    }

    /// The account as the host's passwd has it now, whoever made it.
    pub fn account(&self, user: &str) -> Option<Account> {
        accounts::find(&self.namespace.etc(), user)
    }

    /// The account's home as the test process reaches it.
    pub fn home(&self, user: &str) -> PathBuf {
        let account = self.account(user).unwrap_or_else(|| panic!("the host has no account {user}"));
        self.namespace.outside(&account.home)
    }

    /// Any path of the host as the test process reaches it.
    pub fn outside(&self, inside: &str) -> PathBuf {
        self.namespace.outside(Path::new(inside))
    }

    /// Replaces the account's `.ssh/authorized_keys`; `.ssh` and the file get the modes that sshd wants.
    pub fn write_authorized_keys(&self, user: &str, content: impl AsRef<[u8]>) {
        let account = self.account(user).unwrap_or_else(|| panic!("the host has no account {user}"));
        accounts::write_authorized_keys(&account, &self.home(user), content.as_ref()).unwrap();
    }

    /// The bytes of the account's `.ssh/authorized_keys`, if there is one.
    pub fn read_authorized_keys(&self, user: &str) -> Option<Vec<u8>> {
        std::fs::read(self.home(user).join(".ssh/authorized_keys")).ok()
    }

    /// Runs a command on the host, as root.
    pub async fn exec(&self, argv: &[&str]) -> Output {
        self.namespace.exec(argv, b"").await.unwrap()
    }

    /// Runs a command on the host, as root, with a standard input.
    pub async fn exec_with_input(&self, argv: &[&str], input: &[u8]) -> Output {
        self.namespace.exec(argv, input).await.unwrap()
    }

    /// What the SSH server logged so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.namespace.state().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The open SSH sessions of this account: process ids as the host sees them.
    pub async fn sessions(&self, user: &str) -> Vec<u32> {
        let Some(account) = self.account(user) else { return Vec::new() };
        let processes = self.processes();
        let mine = |process: &Process| match self.kind {
            Kind::OpenSsh => process.title.starts_with(&format!("sshd: {user}@")),
            Kind::OpenSsh10 => process.title.starts_with(&format!("sshd-session: {user}@")),
            // Dropbear has no titles; a session is what its connection process runs for the account.
            Kind::Dropbear => {
                process.uid == account.uid
                    && process.name != "dropbear"
                    && processes
                        .iter()
                        .any(|parent| parent.pid == process.parent && parent.name == "dropbear")
            }
        };
        processes.iter().filter(|process| mine(process)).map(|process| process.pid).collect()
    }

    /// Every process of this account, whatever it is: process ids as the host sees them.
    pub async fn processes_of(&self, user: &str) -> Vec<u32> {
        let Some(account) = self.account(user) else { return Vec::new() };
        self.processes()
            .iter()
            .filter(|process| process.uid == account.uid)
            .map(|process| process.pid)
            .collect()
    }

    /// Ends the SSH server as if the host were down; sessions that are open go on.
    pub async fn stop_server(&self) {
        daemon::stop(&self.namespace, &self.place).await.unwrap();
    }

    /// Starts the SSH server again on the same port.
    pub async fn start_server(&self) {
        daemon::start(&self.namespace, self.kind, &self.program, &self.place).await.unwrap();
    }

    /// Process 1 of the host, as the machine sees it.
    pub fn pid(&self) -> u32 {
        self.namespace.pid()
    }

    fn processes(&self) -> Vec<Process> {
        let proc = self.namespace.outside(Path::new("/proc"));
        let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
        entries.filter_map(|entry| Process::read(&entry.path())).collect()
    }
}

/// One process of the host.
#[derive(Debug)]
struct Process {
    pid: u32,
    parent: u32,
    uid: u32,
    name: String,
    title: String,
}

impl Process {
    /// Nothing if it is no process, or has ended meanwhile.
    fn read(folder: &Path) -> Option<Self> {
        let pid = folder.file_name()?.to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next().map(str::to_owned)
        };
        let title = String::from_utf8_lossy(&std::fs::read(folder.join("cmdline")).ok()?).replace('\0', " ");
        Some(Self {
            pid,
            parent: field("PPid:")?.parse().ok()?,
            uid: field("Uid:")?.parse().ok()?,
            name: field("Name:")?,
            title,
        })
    }
}
