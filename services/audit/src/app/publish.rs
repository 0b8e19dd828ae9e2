//! Publishes signed checkpoints, each in its turn: to a file, or to a webhook.

use super::contradicts::contradicts;
use super::hand_on::Unsent;
use crate::adapters::checkpoint_file::CheckpointFile;
use crate::adapters::webhook::Hook;
use crate::store::cursor;
use crate::store::publication::{self, Published};
use keywright_domain::clock::Instant;
use keywright_storage::Db;

pub struct Publish {
    /// Of its cursors and its lease.
    pub name: String,
    pub to: Place,
}

pub enum Place {
    File(CheckpointFile),
    Webhook(Hook),
}

impl Publish {
    /// A publisher that is new begins with the newest checkpoint.
    pub async fn start(&self, db: &Db) -> Result<(), Unsent> {
        if cursor::find(db, &self.name).await?.is_none() {
            publication::start_at_newest(db, &self.name).await?;
        }
        Ok(())
    }

    pub async fn lag(&self, db: &Db) -> Result<u64, Unsent> {
        Ok(publication::count(db, &self.name).await?)
    }

    pub async fn step(&self, db: &Db, now: Instant) -> Result<Vec<(String, i64)>, Unsent> {
        let pending = publication::pending(db, &self.name, 1).await?;
        let Some(checkpoint) = pending.first() else { return Ok(Vec::new()) };
        match &self.to {
            Place::Webhook(hook) => hook.publish(checkpoint, now).await.map_err(Unsent::Refused)?,
            Place::File(file) => write(db, file, checkpoint).await?,
        }
        let next = checkpoint.size.saturating_add(1);
        Ok(vec![(checkpoint.cursor(&self.name), next), (self.name.clone(), next)])
    }
}

/// Over a checkpoint of this log only: another is evidence.
async fn write(db: &Db, file: &CheckpointFile, checkpoint: &Published) -> Result<(), Unsent> {
    let standing = file.read().await.map_err(Unsent::Refused)?.unwrap_or_default();
    if !standing.is_empty()
        && let Some(contradiction) = contradicts(db, &standing).await?
    {
        return Err(Unsent::Contradicted(contradiction));
    }
    file.write(checkpoint).await.map_err(Unsent::Refused)
}
