//! Starts the role, serves until SIGTERM or Ctrl-C, lets open work end.

use crate::args::{Cli, Role, Settings};
use crate::error::StartError;
use crate::installation::Installation;
use crate::operator::{self, First};
use crate::roles::{self, Tasks};
use keywright_domain::caller::ServiceName;
use keywright_runtime::{peer, serve};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long background work may take to end after the last request.
const LAST_WORK: Duration = Duration::from_secs(10);

pub async fn run(cli: Cli) -> Result<(), StartError> {
    let Cli { role, settings } = cli;
    let stop = CancellationToken::new();
    let at = Installation::open(&settings, stop.clone())?;
    match role.unwrap_or(Role::All) {
        Role::Init { token_out } => init(&at, token_out).await,
        Role::All => all(&at, &settings).await,
        Role::Gateway => gateway(&at, &settings).await,
        Role::Audit => apart(&at, &settings, ServiceName::Audit, roles::audit(&at).await?).await,
        Role::CredentialStore => {
            let db = roles::store_database(&at).await?;
            let tasks = roles::credential_store(&at, &settings, db).await?;
            apart(&at, &settings, ServiceName::CredentialStore, tasks).await
        }
        Role::ConnectivityProbe => {
            let tasks = roles::connectivity_probe(&at, &settings).await?;
            apart(&at, &settings, ServiceName::ConnectivityProbe, tasks).await
        }
        Role::KeyLifecycle => {
            let tasks = roles::key_lifecycle(&at, &settings).await?;
            apart(&at, &settings, ServiceName::KeyLifecycle, tasks).await
        }
    }
}

async fn init(at: &Installation, token_out: Option<PathBuf>) -> Result<(), StartError> {
    let db = roles::store_database(at).await?;
    let file = token_out.unwrap_or_else(|| operator::default_file(&at.data));
    match operator::ensure(at, &db, &file).await? {
        First::Made => {
            say(&[
                &format!("The data directory {} is ready.", at.data.display()),
                &format!("The first operator's token is in {}.", file.display()),
            ]);
            Ok(())
        }
        First::ExistedAlready => Err(StartError::InitializedAlready),
    }
}

async fn all(at: &Installation, settings: &Settings) -> Result<(), StartError> {
    // Bound first: a second server on the same port ends before it touches anything.
    let listener = listen(settings).await?;
    let db = roles::store_database(at).await?;
    let token = operator::default_file(&at.data);
    let first = operator::ensure(at, &db, &token).await?;
    let mut tasks = roles::audit(at).await?;
    tasks.extend(roles::credential_store(at, settings, db).await?);
    tasks.extend(roles::connectivity_probe(at, settings).await?);
    tasks.extend(roles::key_lifecycle(at, settings).await?);
    let gateway = roles::gateway(at, settings)?;
    greet(settings, &token, first);
    let work = spawn(tasks);
    watch_signals(at.stop.clone());
    gateway.serve(listener, at.stop.clone().cancelled_owned()).await;
    at.stop.cancel();
    finish(work).await;
    Ok(())
}

async fn gateway(at: &Installation, settings: &Settings) -> Result<(), StartError> {
    let listener = listen(settings).await?;
    reach_others(at, settings, ServiceName::Gateway)?;
    let gateway = roles::gateway(at, settings)?;
    watch_signals(at.stop.clone());
    gateway.serve(listener, at.stop.clone().cancelled_owned()).await;
    Ok(())
}

/// A single service on its own socket.
async fn apart(
    at: &Installation,
    settings: &Settings,
    name: ServiceName,
    tasks: Tasks,
) -> Result<(), StartError> {
    let listener = listen(settings).await?;
    reach_others(at, settings, name)?;
    let work = spawn(tasks);
    watch_signals(at.stop.clone());
    let served = serve::serve(at.peers.get(name), listener, at.stop.clone()).await;
    served.map_err(|source| StartError::Listen { address: settings.listen, source })?;
    finish(work).await;
    Ok(())
}

fn reach_others(at: &Installation, settings: &Settings, own: ServiceName) -> Result<(), StartError> {
    let peers = &settings.peers;
    for (name, url) in [
        (ServiceName::CredentialStore, &peers.credential_store_url),
        (ServiceName::KeyLifecycle, &peers.key_lifecycle_url),
        (ServiceName::ConnectivityProbe, &peers.connectivity_probe_url),
        (ServiceName::Audit, &peers.audit_url),
    ] {
        if name != own {
            at.peers.set(name, peer::remote(url).map_err(|_| StartError::Peer(url.clone()))?);
        }
    }
    Ok(())
}

async fn listen(settings: &Settings) -> Result<TcpListener, StartError> {
    let address = settings.listen;
    if !address.ip().is_loopback() {
        return Err(StartError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn spawn(tasks: Tasks) -> JoinSet<()> {
    let mut set = JoinSet::new();
    for task in tasks {
        set.spawn(task);
    }
    set
}

async fn finish(mut work: JoinSet<()>) {
    let ended = tokio::time::timeout(LAST_WORK, async { while work.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!("background work did not end in time; the next start takes it up");
        work.shutdown().await;
    }
    tracing::info!("stopped");
}

fn watch_signals(stop: CancellationToken) {
    tokio::spawn(async move {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!("signals cannot be watched");
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
}

fn greet(settings: &Settings, token: &Path, first: First) {
    let url = format!("http://{}", settings.listen);
    let mut lines = vec![format!("Keywright listens on {url}")];
    if first == First::Made {
        lines.push(format!("The first operator's token is in {} (mode 0600). To go on:", token.display()));
        lines.push(format!("  export KEYWRIGHT_URL={url} KEYWRIGHT_TOKEN=\"$(cat {})\"", token.display()));
        lines.push("  keywright whoami".to_owned());
    }
    say(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[allow(clippy::print_stdout, reason = "how to go on is for whoever started it")]
fn say(lines: &[&str]) {
    for line in lines {
        println!("{line}");
    }
}
