//! Reads the management key of a server, with those that it replaced.

use crate::adapters::credential_store::CredentialStore;
use crate::management::PREDECESSOR_STAYS;
use crate::model::{Management, ManagementState};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{ServerId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use tracing::instrument;

#[derive(Clone)]
pub struct ViewManagement {
    pub db: Db,
    pub guard: Guard,
    pub store: CredentialStore,
}

/// The key in use, and what was in use before it, newest first.
#[derive(Debug, Clone)]
pub struct ManagementView {
    pub current: Management,
    pub predecessors: Vec<Predecessor>,
}

#[derive(Debug, Clone)]
pub struct Predecessor {
    pub key: Management,
    pub replaced_at: Instant,
    /// Empty when its line is gone.
    pub stays_for: String,
}

impl ViewManagement {
    #[instrument(skip_all, fields(server = shown(server)))]
    pub async fn run(&self, caller: &Caller, server: &str) -> Result<ManagementView, Failure> {
        let missing = || Failure::not_found(Reason::ServerNotFound, server);
        let id = ServerId::parse(server).map_err(|_| missing())?;
        let found = self.store.server(&id).await?;
        let tenant = Some(&found.tenant);
        self.guard.allow(caller, "server.management", tenant, id.as_str(), Reason::ServerNotFound).await?;
        self.of(&id).await
    }

    /// For whoever was authorized.
    pub async fn of(&self, id: &ServerId) -> Result<ManagementView, Failure> {
        let server = self.store.server(id).await?;
        let mut reader = store::reader(&self.db).await?;
        let known = store::management::of(&mut reader, id).await?;
        let backup = store::backup::last(&mut reader).await?;
        drop(reader);
        let unmanaged = || {
            Failure::new(Reason::ServerNotManaged, "The server has no management key.")
                .with("serverId", id.as_str())
        };
        let (credential, _) = server.management.ok_or_else(unmanaged)?;
        let current = known.iter().find(|key| key.credential == credential).ok_or_else(unmanaged)?.clone();
        let former = known.into_iter().filter(|key| key.id != current.id);
        let predecessors = former.filter_map(|key| predecessor(key, backup)).collect();
        Ok(ManagementView { current, predecessors })
    }
}

fn predecessor(key: Management, backup: Option<Instant>) -> Option<Predecessor> {
    let counted = key.state == ManagementState::Succeeded;
    let replaced_at = key.replaced_at.filter(|_| counted)?;
    let stays_for = match key.removed_at {
        Some(_) => String::new(),
        None if backup.is_some_and(|taken_at| taken_at > replaced_at) => {
            "its removal: a backup holds its successor".to_owned()
        }
        None => format!(
            "a backup that holds its successor, or until {}",
            replaced_at.plus(PREDECESSOR_STAYS).rfc3339()
        ),
    };
    Some(Predecessor { key, replaced_at, stays_for })
}
