//! The real `keywright-server` on a data folder of its own, and the real `keywright` command against it.
//!
//! Invariant: nothing is mocked between a test and the binaries that are shipped. The server dies with the value;
//! its data folder outlives a kill and a restart.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::bao::BaoMount;
use crate::clock::MovedClock;
use crate::error::{During, KitError};
use crate::port::{Port, free_port};
use crate::process::{Output, eventually, http_client, run};
use crate::running::Running;

/// The folder of the binaries, where it is not the one above the test binary.
const BINARIES: &str = "KEYWRIGHT_TEST_BINARIES";
const REMEDY: &str = "build it first: cargo build --workspace";
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(40);
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// What differs from the embedded default (SQLite and sealed material in the data folder).
#[derive(Debug, Clone, Default)]
pub struct KeywrightOptions {
    role: Option<String>,
    data_dir: Option<PathBuf>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    resolver: Option<PathBuf>,
    clock: Option<MovedClock>,
}

impl KeywrightOptions {
    /// The role to run instead of `all`.
    pub fn role(mut self, role: &str) -> Self {
        self.role = Some(role.into());
        self
    }

    /// PostgreSQL instead of SQLite.
    pub fn database_url(self, url: &str) -> Self {
        self.arg("--database-url").arg(url)
    }

    /// OpenBao instead of the embedded store: `--vault-addr`, `--vault-mount`, and the token by the environment.
    pub fn vault(self, mount: &BaoMount) -> Self {
        self.arg("--vault-addr")
            .arg(&mount.address)
            .arg("--vault-mount")
            .arg(&mount.mount)
            .env("KEYWRIGHT_VAULT_TOKEN", &mount.token)
    }

    /// A data folder that outlives this value, for several servers on one state.
    pub fn data_dir(mut self, folder: &Path) -> Self {
        self.data_dir = Some(folder.into());
        self
    }

    /// Names are asked as this `resolv.conf` says, for this server alone.
    pub fn resolver(mut self, resolv_conf: PathBuf) -> Self {
        self.resolver = Some(resolv_conf);
        self
    }

    /// This server alone looks at this clock.
    pub fn clock(mut self, clock: &MovedClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

impl KeywrightOptions {
    /// The server itself; where it has a resolver or a clock of its own, in a mount namespace of its own.
    fn command(&self, server: PathBuf) -> Command {
        let (script, arguments) = match (&self.resolver, &self.clock) {
            (None, None) => return Command::new(server),
            (Some(resolver), _) => {
                (r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#, vec![resolver.into()])
            }
            (None, Some(clock)) => (crate::clock::WITH_CLOCK, clock.command()),
        };
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).args(arguments).arg(server);
        command
    }
}

/// A running server. Dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Keywright {
    child: Option<Child>,
    options: KeywrightOptions,
    folder: TempDir,
    port: Port,
    client: Client,
}

impl Keywright {
    /// Starts a server and waits until `/readyz` answers 200.
    pub async fn start(options: KeywrightOptions) -> Result<Self, KitError> {
        let folder =
            tempfile::Builder::new().prefix("keywright-server-").tempdir().during("making a data folder")?;
        for name in ["home", "work", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).during("making a data folder")?;
        }
        let mut server = Self { child: None, options, folder, port: free_port()?, client: http_client()? };
        server.launch().await?;
        Ok(server)
    }

    async fn launch(&mut self) -> Result<(), KitError> {
        let log =
            || File::options().create(true).append(true).open(self.log_file()).during("opening the log");
        let mut command = self.options.command(binary("keywright-server")?);
        command
            .args(&self.options.role)
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--listen", &format!("127.0.0.1:{}", self.port.number())])
            .args(&self.options.arguments);
        for name in own_variables() {
            command.env_remove(name);
        }
        command
            // The hosts of these tests count no refused keys: nobody waits.
            .env("KEYWRIGHT_REFUSAL_SPACING", "0")
            .env("TMPDIR", self.tmp_dir())
            .envs(self.options.environment.iter().cloned())
            .current_dir(self.work_dir())
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .kill_on_drop(true);
        let mut child = command.spawn().during("starting keywright-server")?;
        let url = format!("{}/readyz", self.url());
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            let answer = self.client.get(&url).timeout(REQUEST_LIMIT).send().await;
            if answer.is_ok_and(|response| response.status().is_success()) {
                break;
            }
            if let Some(status) = child.try_wait().during("waiting for keywright-server")? {
                let detail = format!("{status}\n{}", self.logs());
                return Err(KitError::Start { what: "keywright-server", detail });
            }
            if tokio::time::Instant::now() > deadline {
                return Err(KitError::Timeout { what: "keywright-server", detail: self.logs() });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.child = Some(child);
        Ok(())
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    pub fn data_dir(&self) -> PathBuf {
        self.options.data_dir.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// The folder in which the server and the `keywright` command run.
    pub fn work_dir(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Where the server may put temporary files.
    pub fn tmp_dir(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// The `HOME` of the `keywright` command; empty at first.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The token that the first start wrote.
    pub fn operator_token(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("operator.token")).unwrap().trim().to_owned()
    }

    /// Everything that the server printed, over all its starts.
    pub fn logs(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it printed after so many bytes.
    pub fn logs_after(&self, bytes: u64) -> String {
        let mut rest = Vec::new();
        if let Ok(mut log) = File::open(self.log_file())
            && log.seek(SeekFrom::Start(bytes)).is_ok()
        {
            log.read_to_end(&mut rest).unwrap();
        }
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// How many bytes it has printed.
    pub fn printed(&self) -> u64 {
        self.log_file().metadata().map_or(0, |log| log.len())
    }

    /// The process id of the server while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// SIGSTOP: nothing of it moves until [`resume`](Self::resume).
    pub async fn pause(&self) {
        self.signal("-STOP").await;
    }

    /// SIGCONT, and waits until it serves again: first it asks what was revoked meanwhile.
    pub async fn resume(&self) {
        self.signal("-CONT").await;
        let serves = eventually(START_LIMIT, async || self.get("/api/whoami").await.status == 200);
        assert!(serves.await, "it serves no more:\n{}", self.logs());
    }

    async fn signal(&self, signal: &str) {
        let pid = self.pid().expect("the server does not run").to_string();
        run(Command::new("kill").args([signal, &pid]), b"").await.unwrap().success();
    }

    /// SIGTERM, and waits for the end; answers the exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.signal("-TERM").await;
        let mut child = self.child.take().expect("the server does not run");
        let status = tokio::time::timeout(STOP_LIMIT, child.wait()).await;
        let status =
            status.unwrap_or_else(|_| panic!("still running after SIGTERM:\n{}", self.logs())).unwrap();
        use std::os::unix::process::ExitStatusExt;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// Starts it again on the same data and port; a server that still runs is terminated first.
    pub async fn restart(&mut self) -> Result<(), KitError> {
        if self.child.is_some() {
            self.terminate().await;
        }
        self.launch().await
    }

    /// The HTTP interface as the operator sees it.
    pub fn operator(&self) -> Caller {
        self.caller(&self.operator_token())
    }

    /// The HTTP interface with this token.
    pub fn caller(&self, token: &str) -> Caller {
        Caller { token: Some(token.into()), ..self.anonymous() }
    }

    /// The HTTP interface without a token.
    pub fn anonymous(&self) -> Caller {
        Caller { client: self.client.clone(), base: self.url(), token: None }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.operator().get(path).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.operator().post(path, body).await
    }

    pub async fn delete(&self, path: &str, body: Value) -> Answer {
        self.operator().delete(path, body).await
    }

    /// The `keywright` command as the operator, without a terminal and without input.
    pub async fn cli<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.cli_as(Some(&self.operator_token()), arguments, b"").await
    }

    /// The `keywright` command with this token (or with what its profiles say), and a standard input.
    pub async fn cli_as<S: AsRef<OsStr>>(
        &self,
        token: Option<&str>,
        arguments: &[S],
        input: &[u8],
    ) -> Output {
        run(&mut self.cli_command(token, arguments), input).await.unwrap()
    }

    /// The `keywright` command as its profiles say, while it runs.
    pub fn cli_running<S: AsRef<OsStr>>(&self, arguments: &[S], environment: &[(&str, &str)]) -> Running {
        let mut command = self.cli_command(None, arguments);
        Running::start(command.envs(environment.iter().copied())).unwrap()
    }

    /// The same with this token.
    pub fn cli_running_as<S: AsRef<OsStr>>(&self, token: &str, arguments: &[S]) -> Running {
        Running::start(&mut self.cli_command(Some(token), arguments)).unwrap()
    }

    fn cli_command<S: AsRef<OsStr>>(&self, token: Option<&str>, arguments: &[S]) -> Command {
        let mut command = Command::new(binary("keywright").unwrap());
        command.args(arguments).current_dir(self.work_dir());
        for name in own_variables() {
            command.env_remove(name);
        }
        command.env_remove("XDG_CONFIG_HOME").env("HOME", self.home()).env("KEYWRIGHT_URL", self.url());
        if let Some(token) = token {
            command.env("KEYWRIGHT_TOKEN", token);
        }
        command
    }

    /// Polls an object until `condition` holds for it, and answers it; panics after `limit`.
    pub async fn wait_for(&self, path: &str, limit: Duration, condition: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let held = eventually(limit, async || {
            let answer = self.get(path).await;
            let holds = answer.status == 200 && condition(&answer.json);
            last = answer.json;
            holds
        })
        .await;
        assert!(held, "{path} is still {last}\n{}", self.logs());
        last
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for Keywright {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let _ = child.start_kill();
        // The folder goes next, and must not be written to any more.
        for _ in 0..200 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// One principal's view of the HTTP interface.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Caller {
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str, body: Value) -> Answer {
        self.send(Method::DELETE, path, (!body.is_null()).then_some(body), &[]).await
    }

    /// Any request, with further headers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).timeout(REQUEST_LIMIT);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, json, bytes }
    }
}

/// What the HTTP interface answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body, or null if it is not JSON.
    pub json: Value,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body of a request that must succeed.
    pub fn success(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            String::from_utf8_lossy(&self.bytes)
        );
        self.json
    }

    /// The reason of an error (`CREDENTIAL_IN_USE`), empty if there is none.
    pub fn reason(&self) -> &str {
        self.error_info()["reason"].as_str().unwrap_or_default()
    }

    /// The `google.rpc.ErrorInfo` of an error, or null.
    pub fn error_info(&self) -> &Value {
        let details = self.json["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        details.iter().find(|detail| detail["reason"].is_string()).unwrap_or(&Value::Null)
    }
}

/// The variables of the person who runs the tests must not change what is tested.
fn own_variables() -> impl Iterator<Item = String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("KEYWRIGHT_") || name.starts_with("OTEL_"))
}

/// A binary of the workspace, beside the folder `deps` from which the test runs.
fn binary(name: &str) -> Result<PathBuf, KitError> {
    let deps = std::env::current_exe().during("finding the test binary")?;
    let built = deps.parent().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
    let folder = std::env::var_os(BINARIES).map_or(built, PathBuf::from);
    let file = folder.join(name);
    // Never one from the PATH: it would not be what is tested.
    if file.is_file() { Ok(file) } else { Err(KitError::Missing { program: name.into(), remedy: REMEDY }) }
}
