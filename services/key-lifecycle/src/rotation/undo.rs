//! The way back, before a promotion.

use super::drive::{Drive, Task, server_of};
use crate::adapters::hosts::Edited;
use crate::model::{Rotation, Step, Version, VersionState};
use crate::store;
use keywright_domain::ids::ServerId;
use keywright_domain::reason::Reason;
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
    /// The host without the new key. Idempotent: what is desired was set when the rotation turned back. Where a file
    /// cannot be edited, it is enough that the host refuses what the rotation would have brought.
    pub(super) async fn restore(&self, task: &Task, step: &Step) -> Result<Option<Edited>, Failure> {
        let server = server_of(step)?;
        let door = self.door(task, server).await?;
        let failure = match self.converger.converge(&door, &task.access).await {
            Ok(edited) => return Ok(Some(edited)),
            Err(failure) => failure,
        };
        if !is_refused_file(&failure) || self.is_accepted(task, server).await? {
            return Err(failure);
        }
        Ok(None)
    }

    async fn is_accepted(&self, task: &Task, server: &ServerId) -> Result<bool, Failure> {
        let brought = |version: &&Version| match task.rotation.brings_a_key() {
            true => version.id == task.rotation.new_version,
            false => version.state.is_live(),
        };
        for key in task.versions.iter().filter(brought).filter_map(|version| version.public_key.as_ref()) {
            if self.refusals.offer_in_turn(task.work(), server, &task.access.account, key).await?.accepted {
                return Ok(true);
            }
        }
        Ok(false)
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

/// The host was reached, and its editor said no to the file as it is.
const fn is_refused_file(failure: &Failure) -> bool {
    matches!(
        failure.reason,
        Reason::HostFileSymlink
            | Reason::HostFileNotRegular
            | Reason::HostFileTooLarge
            | Reason::HostFileReadOnly
            | Reason::HostFileOwner
            | Reason::HostEditFailed
            | Reason::AccountNotAllowed
    )
}
