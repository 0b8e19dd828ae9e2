//! The way back, before a promotion.

use super::drive::{Drive, Task, server_of};
use crate::model::{Rotation, Step, VersionState};
use crate::store;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Tx;

/// Before a promotion: the new key will not come into use, it is destroyed; a further host gets none. The hosts are
/// restored. What failed first is the reason.
pub async fn turn_back(tx: &mut Tx, rotation: &mut Rotation, why: &Failure) -> Result<(), Error> {
    if rotation.failing_at.is_some() {
        return Ok(());
    }
    rotation.failing_at = Some(tx.now());
    rotation.reason = why.reason.as_str().to_owned();
    rotation.message.clone_from(&why.message);
    if let Some(server) = &rotation.server {
        return Ok(store::line::remove_all_on(tx, &rotation.access, server).await?);
    }
    store::version::set_state(tx, &rotation.new_version, VersionState::Failed).await?;
    store::version::destroy(tx, &rotation.new_version).await?;
    Ok(store::line::remove(tx, &rotation.new_version).await?)
}

impl Drive {
    /// The host without the new key. Idempotent: what is desired was set when the rotation turned back.
    pub(super) async fn restore(&self, task: &Task, step: &Step) -> Result<(), Failure> {
        let door = self.converger.door(server_of(step)?, task.work()).await?;
        self.converger.converge(&door, &task.access).await.map(drop)
    }

    /// An access that never came into use holds nothing; neither does a host that never came to it.
    pub(super) async fn let_go(&self, task: &Task) -> Result<(), Failure> {
        let owner = task.access.id.as_str();
        if let Some(server) = &task.rotation.server {
            return self.store.let_go_of_server(task.work(), server, owner).await;
        }
        let mut reader = store::reader(&self.db).await?;
        let hosts = store::access::hosts(&mut reader, &task.access.id).await?;
        drop(reader);
        for host in &hosts {
            self.store.let_go_of_server(task.work(), &host.server, owner).await?;
        }
        self.store.let_go_of_credential(task.work(), &task.access.credential, owner).await
    }
}
