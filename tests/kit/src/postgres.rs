//! A fresh PostgreSQL database per test.
//!
//! Invariant: one cluster serves a whole run (`tests/run` exports `KEYWRIGHT_TEST_POSTGRES`); without it each
//! process starts one of its own. No database is ever used by two tests. It does not wait for the disk; one that does, as
//! in production, is [`durable_database`]'s, for measurements.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::daemon::Daemon;
use crate::error::{During, KitError};
use crate::port::{Port, free_port};
use crate::process::{eventually, program, run, run_ok, unique};

/// The URL of the cluster of a whole test run.
pub const ADDRESS: &str = "KEYWRIGHT_TEST_POSTGRES";
const BINARIES: &str = "/usr/lib/postgresql/15/bin";
const REMEDY: &str = "apt-get install postgresql-15 (tests/run does it)";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Creates an empty database and answers its URL (`postgres://user@127.0.0.1:port/name`).
pub async fn postgres_database() -> Result<String, KitError> {
    create_database(server().await?).await
}

/// As [`postgres_database`], in a cluster of this process whose commits are on the disk when they are answered.
pub async fn durable_database() -> Result<String, KitError> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    create_database(CLUSTER.get_or_try_init(|| start(&[])).await?.url.clone()).await
}

async fn create_database(server: String) -> Result<String, KitError> {
    let name = unique("test_");
    let mut psql = Command::new(binary("psql")?);
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &format!("CREATE DATABASE \"{name}\""), &server]);
    run_ok("CREATE DATABASE", &mut psql).await?;
    let (base, _) = server
        .rsplit_once('/')
        .ok_or(KitError::Start { what: ADDRESS, detail: "no database in the URL".into() })?;
    Ok(format!("{base}/{name}"))
}

#[derive(Debug)]
struct Cluster {
    url: String,
    // Dropped in this order: the server ends before its folder goes.
    _daemon: Daemon,
    _folder: TempDir,
    _port: Port,
}

/// The cluster's URL: of the test run, or of this process, started by the first who asks. The supervisor of such a
/// cluster ends it with the process.
pub async fn server() -> Result<String, KitError> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    if let Ok(url) = std::env::var(ADDRESS) {
        return Ok(url);
    }
    Ok(CLUSTER.get_or_try_init(|| start(&["fsync=off", "full_page_writes=off"])).await?.url.clone())
}

async fn start(settings: &[&str]) -> Result<Cluster, KitError> {
    let folder =
        tempfile::Builder::new().prefix("keywright-postgres-").tempdir().during("making a cluster folder")?;
    let port = free_port()?;
    let user = server_user()?;
    if let Some((_, uid, gid)) = &user {
        chown(folder.path(), Some(*uid), Some(*gid)).during("making a cluster folder")?;
    }
    let data = folder.path().join("data");
    let (data, socket) = (data.to_string_lossy(), folder.path().to_string_lossy());
    let as_user: Vec<String> = match &user {
        Some((name, ..)) => {
            ["setpriv", "--reuid", name, "--regid", name, "--clear-groups", "--"].map(str::to_owned).to_vec()
        }
        None => Vec::new(),
    };
    let number = port.number().to_string();
    let init = binary("initdb")?.to_string_lossy().into_owned();
    let postgres = binary("postgres")?.to_string_lossy().into_owned();
    let argv = |arguments: &[&str]| -> Vec<String> {
        as_user.iter().cloned().chain(arguments.iter().map(|argument| (*argument).to_owned())).collect()
    };
    let init =
        argv(&[&init, "-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    run_ok("initdb", Command::new(&init[0]).args(&init[1..]).current_dir("/")).await?;
    let settings = [settings, &["max_connections=300", "listen_addresses=127.0.0.1"]].concat();
    let mut serve = argv(&[&postgres, "-D", &data, "-k", &socket, "-p", &number]);
    serve.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting.to_owned()]));
    let serve: Vec<&str> = serve.iter().map(String::as_str).collect();
    let log = folder.path().join("server.log");
    let daemon = Daemon::start(&serve, &log, "QUIT", Some(folder.path()))?;
    let url = format!("postgres://postgres@127.0.0.1:{number}/postgres");
    let ready = binary("pg_isready")?;
    if !eventually(START_LIMIT, async || {
        run(Command::new(&ready).args(["-q", "-d", &url]), b"").await.is_ok_and(|output| output.ok())
    })
    .await
    {
        let detail = std::fs::read_to_string(&log).unwrap_or_default();
        return Err(KitError::Timeout { what: "PostgreSQL", detail });
    }
    Ok(Cluster { url, _daemon: daemon, _folder: folder, _port: port })
}

/// Who runs the server: PostgreSQL refuses root. Nobody else if we are not root.
fn server_user() -> Result<Option<(String, u32, u32)>, KitError> {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").during("reading /proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").during("reading /etc/passwd")?;
    let find = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        Some((name.to_owned(), fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    find("postgres")
        .map(Some)
        .ok_or(KitError::Missing { program: "the account `postgres`".into(), remedy: REMEDY })
}

fn binary(name: &str) -> Result<PathBuf, KitError> {
    program(name, &[Path::new(BINARIES)], REMEDY)
}

#[cfg(test)]
mod tests {
    use tokio::process::Command;

    use super::{binary, postgres_database};
    use crate::process::run_ok;

    #[tokio::test]
    async fn every_database_is_fresh() {
        let (one, other) = (postgres_database().await.unwrap(), postgres_database().await.unwrap());
        assert_ne!(one, other);
        for url in [one, other] {
            let mut psql = Command::new(binary("psql").unwrap());
            psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", "CREATE TABLE t (n BIGINT)", &url]);
            run_ok("psql", &mut psql).await.unwrap();
        }
    }
}
