//! Starts the role, serves until SIGTERM or Ctrl-C, lets open work end.

use crate::args::{Cli, Role, Settings};
use crate::backup;
use crate::checkpoint_key;
use crate::custody;
use crate::error::StartError;
use crate::installation::Installation;
use crate::listen::{Listening, listen, listen_inside, reach_others};
use crate::operator::{self, First};
use crate::policies;
use crate::restore;
use crate::roles::{self, Tasks};
use keywright_domain::caller::ServiceName;
use keywright_runtime::serve;
use keywright_runtime::tls::Tls;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long background work may take to end after the last request.
const LAST_WORK: Duration = Duration::from_secs(10);

pub async fn run(cli: Cli) -> Result<(), StartError> {
    let Cli { role, settings } = cli;
    let stop = CancellationToken::new();
    let role = role.unwrap_or(Role::All);
    if let Role::Policy(command) = &role {
        return policies::run(command);
    }
    match &role {
        Role::CheckpointKey(command) => return checkpoint_key::run(command, &settings),
        Role::Backup(args) => return backup::run(args, &settings).await,
        Role::Restore(args) => return restore::run(args, &settings, stop).await,
        _ => restore::refuse_unfinished(&settings.data_dir)?,
    }
    let at = Installation::open(&settings, stop.clone())?;
    match role {
        Role::Policy(_) | Role::CheckpointKey(_) | Role::Backup(_) | Role::Restore(_) => Ok(()),
        Role::Init { token_out, seal_with_passphrase } => {
            init(&at, &settings, token_out, seal_with_passphrase).await
        }
        Role::All => all(&at, &settings).await,
        Role::Gateway => gateway(&at, &settings).await,
        Role::Audit => apart(&at, &settings, ServiceName::Audit, roles::audit(&at, &settings).await?).await,
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

async fn init(
    at: &Installation,
    settings: &Settings,
    token_out: Option<PathBuf>,
    seal_with_passphrase: bool,
) -> Result<(), StartError> {
    let db = roles::store_database(at).await?;
    // Before there is an operator: a start after a crash in between makes no key in the clear.
    if seal_with_passphrase {
        custody::create_sealed(at, settings, &db).await?;
        say(&["The key-encryption key lies under the passphrase; the server starts sealed."]);
    }
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
    let Listening { listener, tls } = listen(settings).await?;
    let inside = listen_inside(settings, tls.as_ref()).await?;
    let db = roles::store_database(at).await?;
    let token = operator::default_file(&at.data);
    let first = operator::ensure(at, &db, &token).await?;
    let mut tasks = roles::audit(at, settings).await?;
    tasks.extend(roles::credential_store(at, settings, db).await?);
    tasks.extend(roles::connectivity_probe(at, settings).await?);
    tasks.extend(roles::key_lifecycle(at, settings).await?);
    let (gateway, counted) = roles::gateway(at, settings)?;
    tasks.push(counted);
    tasks.push(roles::revocations(at, ServiceName::CredentialStore)?);
    greet(settings, &token, first);
    let mut work = spawn(tasks);
    if let Some(Listening { listener, tls }) = inside {
        let (peers, stop) = (at.peers.clone(), at.stop.clone());
        work.spawn(async move {
            if serve::serve(serve::by_package(peers), listener, tls, stop.clone()).await.is_err() {
                tracing::error!("the internal port ended");
                stop.cancel();
            }
        });
    }
    watch_signals(at.stop.clone(), tls.clone());
    gateway.serve(listener, tls, at.stop.clone().cancelled_owned()).await;
    at.stop.cancel();
    finish(work).await;
    Ok(())
}

async fn gateway(at: &Installation, settings: &Settings) -> Result<(), StartError> {
    let Listening { listener, tls } = listen(settings).await?;
    reach_others(at, settings, ServiceName::Gateway)?;
    let (gateway, counted) = roles::gateway(at, settings)?;
    let work = spawn(vec![roles::revocations(at, ServiceName::Gateway)?, counted]);
    watch_signals(at.stop.clone(), tls.clone());
    gateway.serve(listener, tls, at.stop.clone().cancelled_owned()).await;
    at.stop.cancel();
    finish(work).await;
    Ok(())
}

/// A single service on its own socket.
async fn apart(
    at: &Installation,
    settings: &Settings,
    name: ServiceName,
    mut tasks: Tasks,
) -> Result<(), StartError> {
    let Listening { listener, tls } = listen(settings).await?;
    reach_others(at, settings, name)?;
    tasks.push(roles::revocations(at, name)?);
    let work = spawn(tasks);
    watch_signals(at.stop.clone(), tls.clone());
    let served = serve::serve(at.peers.get(name), listener, tls, at.stop.clone()).await;
    served.map_err(|source| StartError::Listen { address: settings.listen, source })?;
    finish(work).await;
    Ok(())
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

/// Ends the process on SIGTERM and Ctrl-C; reads the certificates again on SIGHUP.
fn watch_signals(stop: CancellationToken, tls: Option<Tls>) {
    tokio::spawn(async move {
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
        else {
            tracing::error!("signals cannot be watched");
            return;
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => match &tls {
                    Some(tls) => reload(tls),
                    None => break,
                },
            }
        }
        tracing::info!("stopping");
        stop.cancel();
    });
}

fn reload(tls: &Tls) {
    match tls.reload() {
        Ok(()) => tracing::info!("the certificates were read again"),
        Err(error) => tracing::error!(%error, "the certificates stay as they were"),
    }
}

fn greet(settings: &Settings, token: &Path, first: First) {
    let scheme = if settings.tls.tls_cert.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", settings.listen);
    let mut lines = vec![format!("Keywright listens on {url}")];
    if first == First::Made {
        lines.push(format!("The first operator's token is in {} (mode 0600). To go on:", token.display()));
        lines.push(format!("  export KEYWRIGHT_URL={url} KEYWRIGHT_TOKEN=\"$(cat {})\"", token.display()));
        lines.push("  keywright whoami".to_owned());
    }
    say(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[allow(clippy::print_stdout, reason = "how to go on is for whoever started it")]
pub fn say(lines: &[&str]) {
    for line in lines {
        println!("{line}");
    }
}
