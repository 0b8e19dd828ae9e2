//! Asks the hosts of an access and records what their logs say; and does so by itself before a grace ends.

use super::evidence::Log;
use crate::adapters::door::Door;
use crate::drift::Scanner;
use crate::model::{Access, Evidence, KeyUse, Version};
use crate::recovery;
use crate::store;
use futures_util::StreamExt;
use keywright_domain::ids::{RotationId, ServerId};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, lease};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::instrument;

/// Hosts that are asked at once.
const AT_ONCE: usize = 8;
/// How long before the end of a grace the logs are read.
const BEFORE_END: Duration = Duration::from_secs(4 * 3600);
/// A shorter grace ends before anybody could act on what the log says.
const SHORTEST: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_secs(5);
const BATCH: i64 = 16;
/// Longer than all hosts of an access take.
const LEASE: Duration = Duration::from_secs(180);

#[derive(Clone)]
pub struct UseReader {
    pub db: Db,
    pub scanner: Scanner,
}

impl UseReader {
    /// One entry for each live key and host, with the last use that was ever seen. A host that cannot be asked is part of
    /// the answer.
    #[instrument(skip_all, fields(access = %access.id))]
    pub async fn read(&self, access: &Access) -> Result<Vec<KeyUse>, Failure> {
        recovery::refuse_while_active(&self.db).await?;
        let mut reader = store::reader(&self.db).await?;
        let hosts = store::access::hosts(&mut reader, &access.id).await?;
        let versions = store::version::of(&mut reader, &access.id).await?;
        let lines = store::line::of(&mut reader, &access.id).await?;
        drop(reader);
        let has_line = |server: &ServerId, version: &Version| {
            lines.iter().any(|line| line.server == *server && line.version == version.id)
        };
        let live: Vec<&Version> =
            versions.iter().filter(|one| one.state.is_live() && one.public_key.is_some()).collect();
        let mut asked: Vec<(ServerId, Vec<Version>)> = Vec::new();
        for host in hosts {
            let here: Vec<Version> =
                live.iter().filter(|one| has_line(&host.server, one)).map(|one| (*one).clone()).collect();
            if !here.is_empty() {
                asked.push((host.server, here));
            }
        }
        let each = futures_util::stream::iter(asked).map(|(server, live)| self.host(access, server, live));
        let found: Vec<Vec<KeyUse>> = each.buffered(AT_ONCE).collect().await;
        let found: Vec<KeyUse> = found.into_iter().flatten().collect();
        self.db.serialized(|| self.save(&found)).await?;
        let mut reader = store::reader(&self.db).await?;
        let mut kept = store::key_use::of(&mut reader, &access.id).await?;
        kept.retain(|one| {
            found.iter().any(|read| (&read.server, &read.version) == (&one.server, &one.version))
        });
        Ok(kept)
    }

    async fn host(&self, access: &Access, server: ServerId, live: Vec<Version>) -> Vec<KeyUse> {
        match self.ask(access, &server, &live).await {
            Ok(found) => found,
            Err(failure) => {
                tracing::info!(%server, reason = failure.reason.as_str(), "the log of a server could not be read");
                let read_at = self.db.now().await.unwrap_or(access.created_at);
                let unreadable = |version: &Version| KeyUse {
                    server: server.clone(),
                    version: version.id.clone(),
                    access: access.id.clone(),
                    evidence: Evidence::Unreadable,
                    last_used_at: None,
                    source_address: String::new(),
                    read_at,
                    log_since: None,
                };
                live.iter().map(unreadable).collect()
            }
        }
    }

    async fn ask(
        &self,
        access: &Access,
        server: &ServerId,
        live: &[Version],
    ) -> Result<Vec<KeyUse>, Failure> {
        let server = self.scanner.converger.store.server(server).await?;
        let prints: Vec<_> =
            live.iter().filter_map(|version| Some(version.public_key.as_ref()?.fingerprint())).collect();
        let id = server.id.clone();
        let user = server.management.as_ref().map(|(_, user)| user.clone()).unwrap_or_default();
        let hosts = &self.scanner.converger.hosts;
        let (account, prints) = (&access.account, &prints);
        let read = |door: Door| async move { hosts.log(&door, account, prints).await };
        let log = Log::new(&self.scanner.look(server, read).await?, &user);
        let read_at = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let own = store::key_use::own_logins(&mut reader, &id, &access.id).await?;
        let each = live.iter().zip(prints).map(|(version, print)| {
            let found = log.of(&access.account, version, print, &own);
            KeyUse {
                server: id.clone(),
                version: version.id.clone(),
                access: access.id.clone(),
                evidence: found.evidence,
                last_used_at: found.last.map(|(at, _)| at),
                source_address: found.last.map(|(_, address)| address.to_string()).unwrap_or_default(),
                read_at,
                log_since: found.log_since,
            }
        });
        Ok(each.collect())
    }

    async fn save(&self, found: &[KeyUse]) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("what the logs say of keys").await?;
        for one in found {
            store::key_use::save(&mut tx, one).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Reads the logs once before each grace ends, so that whoever is told of the end is told who still uses the old key.
#[derive(Clone)]
pub struct Before {
    pub uses: UseReader,
}

impl Before {
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let round = async {
                tokio::time::sleep(POLL).await;
                if let Err(failure) = self.round().await {
                    tracing::debug!(reason = failure.reason.as_str(), "the logs are read later");
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = round => {}
            }
        }
    }

    /// Everything that is due now, once.
    pub async fn round(&self) -> Result<(), Failure> {
        let db = &self.uses.db;
        recovery::refuse_while_active(db).await?;
        for id in self.due().await? {
            let work = format!("use_{id}");
            let Some(lease) = lease::acquire(db, &work, &self.uses.scanner.owner, LEASE).await? else {
                continue;
            };
            let result = self.rotation(&id).await;
            if lease::release(db, &lease).await.is_err() {
                tracing::debug!(work, "the lease ends by itself");
            }
            if let Err(failure) = result {
                tracing::info!(rotation = %id, reason = failure.reason.as_str(), "the use of an old key is read later");
            }
        }
        Ok(())
    }

    async fn due(&self) -> Result<Vec<RotationId>, Failure> {
        let now = self.uses.db.now().await?;
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let mut reader = store::reader(&self.uses.db).await?;
        let soon = now.plus(BEFORE_END);
        let due = store::key_use::due(&mut reader, soon, micros(BEFORE_END), micros(SHORTEST), BATCH).await?;
        Ok(due)
    }

    async fn rotation(&self, id: &RotationId) -> Result<(), Failure> {
        // Another replica may have read between the question and the lease.
        if !self.due().await?.contains(id) {
            return Ok(());
        }
        let mut reader = store::reader(&self.uses.db).await?;
        let Some(rotation) = store::rotation::find(&mut reader, id).await? else { return Ok(()) };
        let Some(access) = store::access::find(&mut reader, &rotation.access).await? else { return Ok(()) };
        drop(reader);
        self.uses.read(&access).await?;
        Ok(())
    }
}
