//! One management key's line in the file of its account.
//!
//! Invariant: each edit takes the next revision of its own marker, so that one that comes late changes nothing.

use crate::adapters::credential_store::Server;
use crate::adapters::door::Door;
use crate::adapters::host::{DesiredKey, DesiredKeys};
use crate::adapters::hosts::{Hosts, Trouble};
use crate::model::Management;
use crate::recovery;
use crate::store;
use keywright_domain::account::AccountName;
use keywright_domain::authorized_keys::Owner;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use std::sync::Arc;

/// How often newer edits are overtaken before the step fails.
const TRIES: usize = 4;

#[derive(Clone)]
pub struct Editor {
    pub db: Db,
    pub hosts: Arc<dyn Hosts>,
}

impl Editor {
    /// By a login with the key that the server has in use.
    pub async fn set(&self, server: &Server, it: &Management, present: bool) -> Result<(), Failure> {
        let door = Door::new(server.clone(), it.id.as_str());
        let account = account(it)?;
        let mut overruled = None;
        for _ in 0..TRIES {
            let wanted = self.db.serialized(|| self.wanted(it, present, overruled)).await?;
            match self.hosts.converge(&door, &account, &wanted).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Failed(failure)) => return Err(failure),
                // Never issued: somebody else wrote it.
                Err(Trouble::Superseded { found }) => overruled = (found > wanted.revision).then_some(found),
            }
        }
        Err(Failure::new(Reason::RevisionMismatch, "Newer edits were made on the host meanwhile."))
    }

    async fn wanted(
        &self,
        it: &Management,
        present: bool,
        overruled: Option<u64>,
    ) -> Result<DesiredKeys, Error> {
        let mut tx = self.db.begin_internal("the next revision of a management line").await?;
        recovery::refuse_in(tx.conn()).await?;
        let revision = store::management::next_edit(&mut tx, &it.id).await?;
        tx.commit().await?;
        Ok(DesiredKeys { overruled, ..desired(it, revision, present)? })
    }
}

pub fn account(it: &Management) -> Result<AccountName, Failure> {
    AccountName::parse(&it.username)
        .map_err(|_| Failure::new(Reason::Internal, "The management account is no account's name."))
}

fn desired(it: &Management, revision: u64, present: bool) -> Result<DesiredKeys, Failure> {
    let owner = Owner::parse(it.id.as_str())
        .map_err(|_| Failure::new(Reason::Internal, "The id cannot stand in a file."))?;
    let key = it.public_key.as_ref();
    let line = |key| DesiredKey { public_key: key, version: 1, until: None, options: Vec::new() };
    Ok(DesiredKeys {
        owner,
        revision,
        keys: key.filter(|_| present).cloned().map(line).into_iter().collect(),
        all_blobs: key.map(|key| key.blob().to_vec()).into_iter().collect(),
        overruled: None,
    })
}
