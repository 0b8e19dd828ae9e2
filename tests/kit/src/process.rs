//! Running programs and waiting for conditions.
//!
//! Invariant: no wait without a deadline, no sleep that stands for a condition.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::Instant;

use crate::error::{During, KitError};

/// How long one program of a test may run.
const PROGRAM_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; 128 + n if signal n ended it, as a shell says it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// The standard output of a program that must succeed.
    pub fn success(self) -> String {
        assert!(self.ok(), "exit code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program to its end; `input` is its standard input.
pub(crate) async fn run(command: &mut Command, input: &[u8]) -> Result<Output, KitError> {
    use std::os::unix::process::ExitStatusExt;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            KitError::Missing { program: name.clone(), remedy: "tests/run installs what the tests need" }
        }
        _ => KitError::Io { what: "starting a program", source },
    })?;
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = tokio::spawn(async move {
        // A program may end without reading its input.
        let _ = stdin.write_all(&input).await;
    });
    let output = tokio::time::timeout(PROGRAM_LIMIT, child.wait_with_output())
        .await
        .map_err(|_| KitError::Timeout { what: "a program", detail: name })?
        .during("waiting for a program")?;
    feed.abort();
    Ok(Output {
        code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a program that must succeed and answers its standard output.
pub(crate) async fn run_ok(what: &'static str, command: &mut Command) -> Result<String, KitError> {
    let output = run(command, b"").await?;
    if output.ok() {
        return Ok(output.stdout);
    }
    Err(KitError::Start {
        what,
        detail: format!("exit code {}: {}{}", output.code, output.stdout, output.stderr),
    })
}

/// Polls until `condition` holds; false if it did not within `limit`.
pub async fn eventually(limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition().await {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The first of these places that holds the program.
pub(crate) fn program(name: &str, folders: &[&Path], remedy: &'static str) -> Result<PathBuf, KitError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    folders
        .iter()
        .map(|folder| folder.to_path_buf())
        .chain(std::env::split_paths(&path))
        .chain(sbin)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or(KitError::Missing { program: name.into(), remedy })
}

/// A name that no other test of this machine has: letters and digits only.
pub(crate) fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // A process id alone may return while a cluster lives on; a temporary file's random name does not.
    let random = tempfile::Builder::new().prefix("").rand_bytes(8).tempfile().unwrap();
    let random = random.path().file_name().and_then(OsStr::to_str).unwrap().to_lowercase();
    format!("{prefix}{}_{random}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Straight to loopback, whatever proxies the environment names.
pub(crate) fn http_client() -> Result<reqwest::Client, KitError> {
    let built = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // Sooner than the server hangs up: a request that meets its hanging up is lost.
        .pool_idle_timeout(Duration::from_secs(5))
        .build();
    built.map_err(|source| KitError::Http { what: "nobody yet", source })
}
