//! Which server is in which group: credential-store's to say, remembered here.
//!
//! A host's group is known before a key is ever put on it, so no revoked key is missing from a list because
//! credential-store does not answer.

use crate::adapters::credential_store::{CredentialStore, Server};
use crate::adapters::directory::Servers;
use crate::model::Scope;
use crate::store;
use keywright_domain::ids::ServerId;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use std::collections::{HashMap, HashSet};

/// Servers of one page.
const PAGE: i32 = 500;

#[derive(Clone)]
pub struct Groups {
    pub db: Db,
    pub store: CredentialStore,
}

impl Groups {
    /// What was just read of a server.
    pub async fn remember(&self, server: &Server) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let known = store::krl::group_of(&mut reader, &server.id).await?;
        let expected = store::krl::file(&mut reader, &server.id).await?.is_some();
        drop(reader);
        let moved = known.as_deref() != Some(server.group.as_str());
        let managed = server.management.is_some();
        if !moved && managed == expected {
            return Ok(());
        }
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a server's group").await?;
            if moved {
                store::krl::join(&mut tx, &server.id, &server.group, &server.tenant).await?;
            }
            if managed {
                store::krl::expect_file(&mut tx, &server.id).await?;
            } else {
                store::krl::forget_file(&mut tx, &server.id).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// Asks for the servers of one group.
    pub async fn look_up(&self, scope: &Scope) -> Result<(), Failure> {
        let among =
            Servers { tenant: scope.tenant.clone(), group: scope.group.clone(), ..Servers::default() };
        let mut token = String::new();
        loop {
            let page = self.store.servers(&among, PAGE, &token).await?;
            for server in &page.items {
                self.remember(server).await?;
            }
            if page.next.is_empty() {
                return Ok(());
            }
            token = page.next;
        }
    }

    /// Asks for all servers; those that are gone leave their groups.
    pub async fn look_up_all(&self) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let known: HashMap<ServerId, String> = store::krl::members(&mut reader).await?.into_iter().collect();
        let files: HashSet<ServerId> = store::krl::files(&mut reader).await?.into_iter().collect();
        drop(reader);
        let (mut seen, mut token) = (HashSet::new(), String::new());
        loop {
            let page = self.store.servers(&Servers::default(), PAGE, &token).await?;
            for server in &page.items {
                let same = known.get(&server.id) == Some(&server.group)
                    && files.contains(&server.id) == server.management.is_some();
                if !same {
                    self.remember(server).await?;
                }
            }
            seen.extend(page.items.into_iter().map(|server| server.id));
            if page.next.is_empty() {
                break;
            }
            token = page.next;
        }
        for server in known.keys().filter(|server| !seen.contains(*server)) {
            self.gone(server).await?;
        }
        Ok(())
    }

    async fn gone(&self, server: &ServerId) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a server is gone").await?;
            store::krl::leave(&mut tx, server).await?;
            store::krl::forget_file(&mut tx, server).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}
