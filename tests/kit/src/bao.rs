//! OpenBao: a fresh KV v2 mount per test on one server, or a private server that can be sealed and stopped.
//!
//! Invariant: no mount is ever used by two tests; `tests/run` exports the shared server's address and token,
//! and without them each process starts one of its own.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::daemon::Daemon;
use crate::error::{During, KitError};
use crate::port::{Port, free_port};
use crate::process::{eventually, http_client, program, unique};

/// The address of the server of a whole test run.
pub const ADDRESS: &str = "KEYWRIGHT_TEST_BAO_ADDR";
/// Its root token.
pub const TOKEN: &str = "KEYWRIGHT_TEST_BAO_TOKEN";
/// The path of the `bao` binary, where it is not on the PATH.
const BINARY: &str = "KEYWRIGHT_TEST_BAO";
const DEV_TOKEN: &str = "keywright-test-root";
const REMEDY: &str = "run tests/run once: it fetches OpenBao into the cache folder";
const LIMIT: Duration = Duration::from_secs(30);

/// A KV v2 mount and how to reach it.
#[derive(Debug, Clone)]
pub struct BaoMount {
    /// `http://127.0.0.1:port`
    pub address: String,
    /// A root token of the server.
    pub token: String,
    /// The mount's path, without slashes.
    pub mount: String,
}

impl BaoMount {
    /// One request to the HTTP interface, such as `request(Method::GET, "mount/metadata/x?list=true", None)`.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), KitError> {
        let url = format!("{}/v1/{path}", self.address);
        let mut request =
            http_client()?.request(method, url).header("x-vault-token", &self.token).timeout(LIMIT);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let http = |source| KitError::Http { what: "OpenBao", source };
        let response = request.send().await.map_err(http)?;
        let status = response.status();
        Ok((status, serde_json::from_slice(&response.bytes().await.map_err(http)?).unwrap_or(Value::Null)))
    }

    async fn expect(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, KitError> {
        let (status, answer) = self.request(method, path, body).await?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(KitError::Start { what: "OpenBao", detail: format!("{path}: {status} {answer}") })
    }

    /// Makes the mount, and waits until it takes writes (it refuses them for a moment at first).
    async fn create(self) -> Result<Self, KitError> {
        let body = json!({"type": "kv", "options": {"version": "2"}});
        self.expect(Method::POST, &format!("sys/mounts/{}", self.mount), Some(body)).await?;
        let probe = format!("{}/data/ready", self.mount);
        let body = json!({"data": {}});
        if !eventually(LIMIT, async || self.expect(Method::POST, &probe, Some(body.clone())).await.is_ok())
            .await
        {
            return Err(KitError::Timeout { what: "a KV mount", detail: self.mount });
        }
        self.expect(Method::DELETE, &format!("{}/metadata/ready", self.mount), None).await?;
        Ok(self)
    }
}

/// A fresh KV v2 mount on the shared server.
pub async fn bao_mount() -> Result<BaoMount, KitError> {
    let (address, token) = server().await?;
    BaoMount { address, token, mount: unique("kv_") }.create().await
}

#[derive(Debug)]
struct DevServer {
    address: String,
    _daemon: Daemon,
    _folder: TempDir,
    _port: Port,
}

/// The shared server's address and root token: of the test run, or of this process, started by the first who asks.
pub async fn server() -> Result<(String, String), KitError> {
    static SERVER: OnceCell<DevServer> = OnceCell::const_new();
    if let (Ok(address), Ok(token)) = (std::env::var(ADDRESS), std::env::var(TOKEN)) {
        return Ok((address, token));
    }
    Ok((SERVER.get_or_try_init(start_dev).await?.address.clone(), DEV_TOKEN.to_owned()))
}

async fn start_dev() -> Result<DevServer, KitError> {
    let (folder, port) = (folder()?, free_port()?);
    let bao = binary()?;
    let listen = format!("-dev-listen-address=127.0.0.1:{}", port.number());
    let token = format!("-dev-root-token-id={DEV_TOKEN}");
    let argv = [&*bao.to_string_lossy(), "server", "-dev", "-dev-no-store-token", &token, &listen];
    let daemon = Daemon::start(&argv, &folder.path().join("server.log"), "KILL", Some(folder.path()))?;
    let address = format!("http://127.0.0.1:{}", port.number());
    answers(&address, &[StatusCode::OK], &folder).await?;
    Ok(DevServer { address, _daemon: daemon, _folder: folder, _port: port })
}

/// A server of its own with storage on disk: sealed and unsealed, stopped and started at will.
#[derive(Debug)]
pub struct SealedBao {
    /// Its address, token, and a KV v2 mount.
    pub mount: BaoMount,
    unseal_key: String,
    daemon: Option<Daemon>,
    folder: TempDir,
    _ports: [Port; 2],
}

/// Starts such a server; it is unsealed at first.
pub async fn bao_sealed() -> Result<SealedBao, KitError> {
    let (folder, port, cluster_port) = (folder()?, free_port()?, free_port()?);
    let address = format!("http://127.0.0.1:{}", port.number());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).during("making a folder for OpenBao")?;
    let config = format!(
        "storage \"raft\" {{ path = \"{}\", node_id = \"test\", performance_multiplier = \"1\" }}\n\
         listener \"tcp\" {{ address = \"127.0.0.1:{}\", cluster_address = \"127.0.0.1:{}\", tls_disable = true }}\n\
         api_addr = \"{address}\"\n\
         cluster_addr = \"https://127.0.0.1:{}\"\n",
        data.display(),
        port.number(),
        cluster_port.number(),
        cluster_port.number()
    );
    std::fs::write(folder.path().join("config.hcl"), config).during("writing OpenBao's configuration")?;
    let mount = BaoMount { address, token: String::new(), mount: "keywright".into() };
    let mut server =
        SealedBao { mount, unseal_key: String::new(), daemon: None, folder, _ports: [port, cluster_port] };
    server.start().await?;
    let shares = json!({"secret_shares": 1, "secret_threshold": 1});
    let answer = server.mount.expect(Method::PUT, "sys/init", Some(shares)).await?;
    server.unseal_key = answer["keys_base64"][0].as_str().unwrap_or_default().to_owned();
    server.mount.token = answer["root_token"].as_str().unwrap_or_default().to_owned();
    server.unseal().await?;
    server.mount = server.mount.clone().create().await?;
    Ok(server)
}

impl SealedBao {
    /// Seals it: every request for material is refused until [`unseal`](Self::unseal).
    pub async fn seal(&self) -> Result<(), KitError> {
        self.mount.expect(Method::PUT, "sys/seal", None).await?;
        self.answers(&[StatusCode::SERVICE_UNAVAILABLE]).await
    }

    pub async fn unseal(&self) -> Result<(), KitError> {
        self.mount.expect(Method::PUT, "sys/unseal", Some(json!({"key": self.unseal_key}))).await?;
        self.answers(&[StatusCode::OK]).await
    }

    /// Stops the process: connections are refused until [`start`](Self::start).
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Starts the process on the same address; it is sealed then.
    pub async fn start(&mut self) -> Result<(), KitError> {
        let config = format!("-config={}", self.folder.path().join("config.hcl").display());
        let bao = binary()?;
        let argv = [&*bao.to_string_lossy(), "server", &config];
        self.daemon = Some(Daemon::start(&argv, &self.folder.path().join("server.log"), "KILL", None)?);
        self.answers(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::NOT_IMPLEMENTED]).await
    }

    async fn answers(&self, statuses: &[StatusCode]) -> Result<(), KitError> {
        answers(&self.mount.address, statuses, &self.folder).await
    }
}

/// Waits until the health endpoint gives one of these: 200 ready, 501 not initialized, 503 sealed.
async fn answers(address: &str, statuses: &[StatusCode], folder: &TempDir) -> Result<(), KitError> {
    let client = http_client()?;
    let url = format!("{address}/v1/sys/health");
    let healthy =
        async || client.get(&url).send().await.is_ok_and(|response| statuses.contains(&response.status()));
    if eventually(LIMIT, healthy).await {
        return Ok(());
    }
    let detail = std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
    Err(KitError::Timeout { what: "OpenBao", detail })
}

fn folder() -> Result<TempDir, KitError> {
    tempfile::Builder::new().prefix("keywright-bao-").tempdir().during("making a folder for OpenBao")
}

fn binary() -> Result<PathBuf, KitError> {
    if let Some(path) = std::env::var_os(BINARY) {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home).unwrap_or_default();
    program("bao", &[&cache.join("keywright/tools")], REMEDY)
}

#[cfg(test)]
mod tests {
    use reqwest::{Method, StatusCode};
    use serde_json::json;

    use super::{bao_mount, bao_sealed};

    #[tokio::test]
    async fn every_mount_is_fresh() {
        let (one, other) = (bao_mount().await.unwrap(), bao_mount().await.unwrap());
        let path = |mount: &str| format!("{mount}/data/key");
        let body = json!({"data": {"value": "x"}, "options": {"cas": 0}});
        for mount in [&one, &other] {
            let (status, _) =
                mount.request(Method::POST, &path(&mount.mount), Some(body.clone())).await.unwrap();
            assert_eq!(status, StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn a_private_server_is_sealed_unsealed_stopped_and_started() {
        let mut server = bao_sealed().await.unwrap();
        let path = format!("{}/data/key", server.mount.mount);
        let write = json!({"data": {"value": "x"}});
        let (status, _) = server.mount.request(Method::POST, &path, Some(write)).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        server.seal().await.unwrap();
        let (status, _) = server.mount.request(Method::GET, &path, None).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        server.unseal().await.unwrap();
        server.stop();
        assert!(server.mount.request(Method::GET, &path, None).await.is_err());
        server.start().await.unwrap();
        server.unseal().await.unwrap();
        let (status, body) = server.mount.request(Method::GET, &path, None).await.unwrap();
        assert_eq!((status, &body["data"]["data"]["value"]), (StatusCode::OK, &json!("x")));
    }
}
