//! Starts sshd and dropbear, each with its own host keys and authorized keys in a temporary folder.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keywright_domain::key::{PrivateKey, PublicKey};
use keywright_domain::secret::Secret;
use keywright_ssh::{Dialer, Failure, Identity, LoginError, Target, TargetRules, Timeouts};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

pub struct Host {
    child: Child,
    dir: TempDir,
    pub port: u16,
    pub host_keys: Vec<PublicKey>,
}

impl Host {
    pub fn target(&self) -> Target {
        Target::new("127.0.0.1", self.port)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// The log once it holds `text`: the server writes it a moment after it answered.
    pub async fn log_with(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {log}");
            tokio::task::yield_now().await;
        }
    }

    fn await_listening(mut self) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let up = wait_for(|| TcpStream::connect(address).ok());
        if up.is_none() {
            let _ = self.child.kill();
            panic!("the test host did not come up: {}", self.log());
        }
        self
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::yield_now();
    }
}

/// What stands in authorized_keys: options and a key.
pub type Line<'a> = (&'a str, &'a PublicKey);

/// OpenSSH; `config` is put before the defaults, so that it wins.
pub fn openssh(authorized: &[Line<'_>], config: &str) -> Host {
    openssh_with_keys(authorized, config, &[("ed25519", "256"), ("ecdsa", "256"), ("rsa", "2048")])
}

pub fn openssh_with_keys(authorized: &[Line<'_>], config: &str, kinds: &[(&str, &str)]) -> Host {
    let dir = tempfile::tempdir().unwrap();
    // sshd refuses to start without its privilege separation directory.
    fs::create_dir_all("/run/sshd").expect("root is needed to start sshd");
    authorize(dir.path(), authorized);
    let port = free_port();
    let mut text =
        format!("{config}\nListenAddress 127.0.0.1:{port}\nPidFile none\nStrictModes no\nUsePAM no\n");
    text += "PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n";
    text += "LogLevel VERBOSE\n";
    // Of this one sshd takes the last mention, not the first.
    if !config.contains("MaxStartups") {
        text += "MaxStartups 100:30:200\n";
    }
    text += &format!("AuthorizedKeysFile {}\n", dir.path().join("authorized_keys").display());
    for (kind, bits) in kinds {
        let file = dir.path().join(format!("host_{kind}"));
        run(Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", "", "-t", kind, "-b", bits, "-f"])
            .arg(&file));
        text += &format!("HostKey {}\n", file.display());
    }
    let host_keys = public_keys(dir.path(), "pub");
    fs::write(dir.path().join("config"), text).unwrap();
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.arg("-D").arg("-e").arg("-f").arg(dir.path().join("config"));
    start(sshd, dir, port, host_keys)
}

/// Dropbear reads ~root/.ssh only: it runs in a mount namespace where that home is an empty memory file system.
pub fn dropbear(authorized: &[Line<'_>]) -> Host {
    dropbear_with(authorized, "")
}

pub fn dropbear_with(authorized: &[Line<'_>], flags: &str) -> Host {
    let dir = tempfile::tempdir().unwrap();
    authorize(dir.path(), authorized);
    let port = free_port();
    let mut keys = String::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let file = dir.path().join(format!("host_{kind}"));
        let made = run(Command::new("dropbearkey").args(["-t", kind, "-f"]).arg(&file));
        let line =
            made.lines().find(|l| l.starts_with("ssh-") || l.starts_with("ecdsa-")).unwrap().to_owned();
        fs::write(file.with_extension("pub"), line).unwrap();
        keys += &format!(" -r {}", file.display());
    }
    let host_keys = public_keys(dir.path(), "pub");
    let script = format!(
        "mount -t tmpfs -o mode=700 tmpfs ~root && mkdir -m 700 ~root/.ssh && \
         install -m 600 {}/authorized_keys ~root/.ssh/ && exec dropbear -F -E -s {flags} -p 127.0.0.1:{port} -P {}/pid {keys}",
        dir.path().display(),
        dir.path().display()
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    start(unshare, dir, port, host_keys)
}

fn start(mut command: Command, dir: TempDir, port: u16, host_keys: Vec<PublicKey>) -> Host {
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("apt-get install openssh-server dropbear-bin");
    Host { child, dir, port, host_keys }.await_listening()
}

fn authorize(dir: &Path, lines: &[Line<'_>]) {
    let text: String = lines
        .iter()
        .map(|(options, key)| format!("{options} {}\n", key.openssh()).trim_start().to_owned())
        .collect();
    fs::write(dir.join("authorized_keys"), text).unwrap();
}

fn public_keys(dir: &Path, extension: &str) -> Vec<PublicKey> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .filter_map(|path| PublicKey::parse_openssh(&fs::read_to_string(path).unwrap()).ok())
        .collect()
}

pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("apt-get install openssh-server dropbear-bin");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A fresh key made by ssh-keygen.
pub fn key(kind: &str) -> PrivateKey {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let bits = if kind == "rsa" { "2048" } else { "256" };
    run(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "", "-t", kind, "-b", bits, "-f"]).arg(&file));
    PrivateKey::from_stored(&Secret::new(fs::read(file).unwrap())).unwrap()
}

pub fn root(key: PrivateKey) -> Identity {
    Identity::one_time("root", key)
}

pub fn rules() -> TargetRules {
    TargetRules { allow_loopback: true, ..TargetRules::default() }
}

pub fn dialer() -> Dialer {
    Dialer::new(Arc::new(rules()), Timeouts::default())
}

pub fn impatient(stage: Duration) -> Dialer {
    let timeouts =
        Timeouts { dns: stage, tcp: stage, handshake: stage, authentication: stage, session: stage };
    Dialer::new(Arc::new(rules()), timeouts)
}

/// The server's doing.
pub fn failure(error: LoginError) -> Failure {
    error.failure().cloned().expect("nothing was to be signed")
}
