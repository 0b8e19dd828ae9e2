//! What is done for revocation lists without anybody asking: groups are learnt, files of hosts are kept current.
//!
//! Invariant: of any number of replicas one asks for the servers, and one at a time works on a host's file.

use super::{Files, Groups, WORK, current};
use crate::adapters::credential_store::CredentialStore;
use crate::adapters::door::Door;
use crate::model::Scope;
use crate::recovery;
use crate::store;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use keywright_domain::ids::ServerId;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, lease};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const POLL: Duration = Duration::from_secs(2);
/// How long what credential-store said of groups is good for.
const GROUPS_EVERY: Duration = Duration::from_secs(60);
/// Longer than the work on one file.
const LEASE: Duration = Duration::from_secs(120);
const AT_ONCE: usize = 8;
const MOST: i64 = 64;

#[derive(Clone)]
pub struct Lists {
    pub db: Db,
    pub store: CredentialStore,
    pub groups: Groups,
    pub files: Files,
    pub owner: String,
}

impl Lists {
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let round = async {
                if let Err(failure) = self.once().await {
                    tracing::debug!(reason = failure.reason.as_str(), "revocation lists wait");
                }
                tokio::time::sleep(POLL).await;
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = round => {}
            }
        }
    }

    /// Everything that is due, once.
    pub async fn once(&self) -> Result<(), Failure> {
        // Kept until it ends by itself: that is when somebody asks again.
        let turn = format!("{WORK}/groups");
        if lease::acquire(&self.db, &turn, &self.owner, GROUPS_EVERY).await?.is_some() {
            self.groups.look_up_all().await?;
        }
        recovery::refuse_while_active(&self.db).await?;
        self.find_stale().await?;
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let due = store::krl::due_files(&mut reader, now, MOST).await?;
        drop(reader);
        let files: Vec<BoxFuture<'_, ()>> = due.iter().map(|server| self.file(server).boxed()).collect();
        futures_util::stream::iter(files).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        Ok(())
    }

    /// Files of groups whose list has changed since.
    async fn find_stale(&self) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        for group in store::krl::groups_with_files(&mut reader).await? {
            let scope = Scope { group, tenant: None };
            let etag = current(&mut reader, &scope).await?.etag(&scope);
            if !store::krl::is_stale(&mut reader, &scope.group, &etag).await? {
                continue;
            }
            let done = self.db.serialized(|| async {
                let mut tx = self.db.begin_internal("a list has changed").await?;
                store::krl::hurry_files(&mut tx, &scope.group, &etag).await?;
                tx.commit().await?;
                Ok::<(), Error>(())
            });
            done.await?;
        }
        Ok(())
    }

    async fn file(&self, server: &ServerId) {
        let work = format!("{WORK}/{server}");
        let Ok(Some(lease)) = lease::acquire(&self.db, &work, &self.owner, LEASE).await else { return };
        let result = tokio::time::timeout(LEASE, self.refresh(server)).await;
        if let Ok(Err(failure)) = result {
            tracing::info!(%server, reason = failure.reason.as_str(), "a file of revoked keys waits");
        }
        if lease::release(&self.db, &lease).await.is_err() {
            tracing::debug!(%server, "the lease ends by itself");
        }
    }

    async fn refresh(&self, server: &ServerId) -> Result<(), Failure> {
        let found = match self.store.server(server).await {
            Ok(found) => found,
            Err(failure) => return self.files.put_off(server, failure).await,
        };
        let door = Door::new(found, WORK).kept_open();
        self.groups.remember(&door.server).await?;
        if door.server.management.is_none() {
            return Ok(());
        }
        let refreshed = self.files.refresh(&door).await;
        door.close().await;
        refreshed
    }
}
