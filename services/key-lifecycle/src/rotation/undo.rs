//! The way back, before a promotion.

use super::drive::{Drive, Task, server_of};
use crate::model::Step;
use crate::store;
use keywright_runtime::failure::Failure;

impl Drive {
    /// The host without the new key. Idempotent: what is desired was set when the rotation turned back.
    pub(super) async fn restore(&self, task: &Task, step: &Step) -> Result<(), Failure> {
        let door = self.converger.door(server_of(step)?, task.work()).await?;
        self.converger.converge(&door, &task.access).await.map(drop)
    }

    /// An access that never came into use holds nothing.
    pub(super) async fn let_go(&self, task: &Task) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let hosts = store::access::hosts(&mut reader, &task.access.id).await?;
        drop(reader);
        let owner = task.access.id.as_str();
        for host in &hosts {
            self.store.let_go_of_server(task.work(), &host.server, owner).await?;
        }
        self.store.let_go_of_credential(task.work(), &task.access.credential, owner).await
    }
}
