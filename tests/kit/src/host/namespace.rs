//! A mount and PID namespace with its own accounts, homes, /run, /tmp and processes.
//!
//! Invariant: process 1 of the namespace lives as long as the pipe to its standard input is open. Dropping the
//! value closes it, as the end of the test process does; the kernel then kills all that runs inside.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{HostOptions, accounts};
use crate::error::{During, KitError};
use crate::process::{Output, program, run};

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const INIT: &str = include_str!("init.sh");

/// The namespace and the folder its bind mounts come from.
#[derive(Debug)]
pub(crate) struct Namespace {
    folder: TempDir,
    init: Child,
    pid: u32,
    /// What a program is started by to have the host's clock; empty where that is the machine's.
    clock: String,
}

impl Namespace {
    pub(super) async fn start(options: &HostOptions) -> Result<Self, KitError> {
        require_root()?;
        let folder =
            tempfile::Builder::new().prefix("keywright-host-").tempdir().during("making a host folder")?;
        lay_out(folder.path()).await?;
        add_files(folder.path(), options)?;
        if options.busybox {
            super::busybox::install(folder.path()).await?;
        }
        let mut init = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child=KILL",
                "sh",
                "-c",
                INIT,
                "keywright-test-host",
            ])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .kill_on_drop(true)
            .spawn()
            .during("starting `unshare`")?;
        let pid = ready(&mut init).await?;
        let clock =
            if options.clock == 0 { String::new() } else { crate::clock::environment(options.clock)? };
        Ok(Self { folder, init, pid, clock })
    }

    /// The folder that is /run/host inside.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    pub(super) fn clock(&self) -> &str {
        &self.clock
    }

    pub(crate) fn etc(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    /// A path of the namespace as the test process reaches it.
    pub(crate) fn outside(&self, inside: &Path) -> PathBuf {
        for (mount, source) in [("/home", "home"), ("/root", "root"), ("/etc", "etc"), ("/run/host", "host")]
        {
            if let Ok(rest) = inside.strip_prefix(mount) {
                return self.folder.path().join(source).join(rest);
            }
        }
        Path::new(&format!("/proc/{}/root", self.pid)).join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Runs a command inside, as root, with a host's environment.
    pub(crate) async fn exec(&self, argv: &[&str], input: &[u8]) -> Result<Output, KitError> {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.pid.to_string(), "--mount", "--pid", "--root", "--wd", "--"])
            .args(argv)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8");
        run(&mut command, input).await
    }

    /// Process 1, as the machine sees it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Namespace {
    /// All inside is gone when this returns: the folder goes next, and must not be written to any more.
    fn drop(&mut self) {
        drop(self.init.stdin.take());
        let deadline = Instant::now() + STOP_LIMIT;
        while matches!(self.init.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.init.start_kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn require_root() -> Result<(), KitError> {
    use std::os::unix::fs::MetadataExt;
    // Whose process this is, without a C call.
    let uid = std::fs::metadata("/proc/self").during("reading /proc/self")?.uid();
    if uid == 0 { Ok(()) } else { Err(KitError::RootNeeded) }
}

/// Creates what init.sh mounts.
async fn lay_out(folder: &Path) -> Result<(), KitError> {
    use std::os::unix::fs::PermissionsExt;
    for (name, mode) in [("home", 0o755), ("root", 0o700), ("host", 0o755)] {
        let path = folder.join(name);
        std::fs::create_dir(&path).during("making a host folder")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .during("making a host folder")?;
    }
    let copied = run(Command::new("cp").args(["-a", "/etc"]).arg(folder.join("etc")), b"").await?;
    if !copied.ok() {
        return Err(KitError::Start { what: "a test host", detail: copied.stderr });
    }
    accounts::write_system_accounts(&folder.join("etc"))
}

/// What the options add to /etc and /usr/local.
fn add_files(folder: &Path, options: &HostOptions) -> Result<(), KitError> {
    if options.clock != 0 {
        let clock = crate::clock::environment(options.clock)?;
        write(&folder.join("date"), &format!("#!/bin/sh\nexec {clock} /run/host/date \"$@\"\n"), 0o755)?;
        std::fs::copy("/usr/bin/date", folder.join("host/date")).during("adding a file to a host")?;
    }
    if let Some(rules) = &options.sudoers {
        program("sudo", &[], "apt-get install sudo (tests/run does it)")?;
        write(&folder.join("etc/sudoers.d/test"), rules, 0o440)?;
    }
    for (path, text) in &options.programs {
        let inside = path.strip_prefix("/usr/local").expect("a path below /usr/local");
        write(&folder.join("local").join(inside), text, 0o755)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), KitError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).during("adding a file to a host")?;
    std::fs::write(path, text).during("adding a file to a host")?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).during("adding a file to a host")
}

async fn ready(init: &mut Child) -> Result<u32, KitError> {
    let mut line = String::new();
    let mut stdout = BufReader::new(init.stdout.take().unwrap());
    let read = tokio::time::timeout(START_LIMIT, stdout.read_line(&mut line)).await;
    if let Some(pid) = line.trim().strip_prefix("ready ").and_then(|pid| pid.parse().ok()) {
        return Ok(pid);
    }
    if read.is_err() {
        return Err(KitError::Timeout { what: "a test host", detail: line });
    }
    let mut detail = String::new();
    let _ = init.stderr.take().unwrap().read_to_string(&mut detail).await;
    Err(KitError::Start { what: "a test host", detail })
}
