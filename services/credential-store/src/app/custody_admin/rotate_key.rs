//! Makes a new key-encryption key; the data keys follow while everything runs.

use crate::adapters::custody::{Custody, SealedStore, Status, Turn};
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::time::Duration;
use tracing::instrument;

const ACTION: &str = "custody.rotate_key";

/// How long the request waits for the data keys; the rest follows in the background.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct RotateKey {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub custody: Custody,
}

impl RotateKey {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, present: Secret, new: Secret) -> Result<Status, Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::PermissionDenied).await?;
        let intent = self.audit.intend(caller, Entry::new(ACTION)).await?;
        let result = self.rotate(present, new, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        let store = result?;
        // Its own task: it goes on where the request gives up waiting.
        let rest = tokio::spawn(async move { store.maintain().await });
        if !matches!(tokio::time::timeout(PATIENCE, rest).await, Ok(Ok(Ok(())))) {
            tracing::info!("the data keys follow in the background");
        }
        Ok(self.custody.status().await?)
    }

    async fn rotate(&self, present: Secret, new: Secret, intent: &Intent) -> Result<SealedStore, Failure> {
        let store = self.custody.embedded()?;
        let turn = store.prepare(present, new).await?;
        match self.switch(store, &turn, intent).await {
            Ok(()) => {
                store.switched(turn).await;
                Ok(store.clone())
            }
            Err(error) => {
                store.abandon(&turn).await;
                Err(error)
            }
        }
    }

    async fn switch(&self, store: &SealedStore, turn: &Turn, intent: &Intent) -> Result<(), Failure> {
        let switched: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                if !store.switch(&mut tx, turn).await? {
                    return Err(Failure::new(
                        Reason::RequestInProgress,
                        "The rotation took so long that its key was taken for forgotten.",
                    )
                    .into());
                }
                let outcome = Outcome::succeeded()
                    .with("previous", turn.previous.as_str())
                    .with("current", turn.id.as_str());
                intent.done(&mut tx, outcome).await?;
                Ok(tx.commit().await?)
            })
            .await;
        Ok(switched?)
    }
}
