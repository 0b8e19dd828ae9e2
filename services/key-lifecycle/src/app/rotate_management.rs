//! Replaces the management key of a server, while the caller waits.
//!
//! Invariant: what was begun goes on without the caller: the row is the truth, and any replica drives it.

use super::gates;
use super::view_management::{ManagementView, ViewManagement};
use crate::adapters::credential_store::CredentialStore;
use crate::held;
use crate::management::Keys;
use crate::model::ManagementState;
use crate::recovery;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{ManagementId, ServerId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::instrument;

/// How long a caller waits for a rotation that another process drives.
const PATIENCE: Duration = Duration::from_secs(25);
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub struct RotateManagement {
    pub db: Db,
    pub guard: Guard,
    pub store: CredentialStore,
    pub keys: Keys,
    pub view: ViewManagement,
    pub wake: Arc<Notify>,
    /// Who holds the leases of this process.
    pub owner: String,
}

/// As it was asked for.
pub struct Rotate {
    pub server: String,
    pub confirmation: Option<String>,
    pub comment: String,
}

impl RotateManagement {
    #[instrument(skip_all, fields(server = shown(&asked.server)))]
    pub async fn run(&self, caller: &Caller, asked: Rotate) -> Result<ManagementView, Failure> {
        let missing = || Failure::not_found(Reason::ServerNotFound, &asked.server);
        let id = ServerId::parse(&asked.server).map_err(|_| missing())?;
        let server = self.store.server(&id).await?;
        let (tenant, target) = (Some(&server.tenant), id.as_str());
        let action = "server.rotate_management";
        self.guard.allow(caller, action, tenant, target, Reason::ServerNotFound).await?;
        gates::comment(&asked.comment)?;
        gates::confirmed_server(asked.confirmation.as_deref(), &id)?;
        recovery::refuse_while_active(&self.db).await?;
        gates::usable(&server)?;
        self.store.require_open_tenant(&server.tenant).await?;
        let begun = self.keys.begin(caller, &server, &asked.comment).await?;
        self.finish(&begun).await?;
        self.view.of(&id).await
    }

    /// Drives it, or waits for whoever does.
    async fn finish(&self, id: &ManagementId) -> Result<(), Failure> {
        let driven = held::held(&self.db, id.as_str(), &self.owner, held::SHORT, self.keys.run(id)).await;
        self.wake.notify_one();
        if let Err(failure) = driven {
            tracing::info!(reason = failure.reason.as_str(), "the worker goes on with a management key");
        }
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(ended) = self.ended(id).await? {
                    return ended;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        waited.await.unwrap_or_else(|_| {
            let what = "The management key is still being replaced; it goes on by itself.";
            Err(Failure::new(Reason::RequestInProgress, what).with("managementId", id.as_str()))
        })
    }

    /// None while it runs.
    async fn ended(&self, id: &ManagementId) -> Result<Option<Result<(), Failure>>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let found = store::management::find(&mut reader, id).await?;
        let Some(it) = found else { return Ok(Some(Ok(()))) };
        Ok(match it.state {
            ManagementState::Running => None,
            ManagementState::Succeeded => Some(Ok(())),
            ManagementState::Failed => {
                let reason = Reason::parse(&it.reason).unwrap_or(Reason::Internal);
                let message = format!("{} The former key stays in use.", it.message);
                Some(Err(Failure::new(reason, message).with("managementId", id.as_str())))
            }
        })
    }
}
