//! What each step does. Every one may be run again at any time with the same end.

use super::drive::{Drive, Task, server_of};
use crate::adapters::hosts::Edited;
use crate::adapters::probe::KeyToProve;
use crate::model::{
    Enforcer, Line, LineState, Receipt, RotationKind, RotationState, Step, StepName, Version, VersionState,
};
use crate::refusals::{Asking, has_turn};
use crate::store;
use keywright_domain::ids::ServerId;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Tx;

impl Drive {
    /// With what was edited on a host, where something was.
    pub(super) async fn perform(&self, task: &Task, step: &Step) -> Result<Option<Edited>, Failure> {
        match step.name {
            StepName::Install => return self.install(task, server_of(step)?).await,
            StepName::ExpireOld => return self.expire_old(task, step).await,
            StepName::RemoveOld => return self.remove_old(task, server_of(step)?).await,
            StepName::Generate => self.generate(task).await?,
            StepName::Hold => self.hold(task, server_of(step)?).await?,
            StepName::Account => self.account(task, server_of(step)?).await?,
            StepName::Prove => self.prove(task, step).await?,
            StepName::Promote => self.promote(task).await?,
            StepName::DestroyOld => self.destroy_old(task).await?,
            StepName::RetireOld => self.retire_old(task).await?,
            StepName::ProveRefused => self.prove_refused(task, step).await?,
            StepName::LetGo => self.leave(task, server_of(step)?).await?,
        }
        Ok(None)
    }

    /// The new key, durable before anything else; and references, before a host is touched, so that no deletion in
    /// another service can strand a key.
    async fn generate(&self, task: &Task) -> Result<(), Failure> {
        let (access, work) = (&task.access, task.work());
        let owner = access.id.as_str();
        if task.rotation.kind == RotationKind::Provision {
            let name = format!("ssh access {owner}");
            self.store
                .create_credential(work, &access.credential, Some(&access.tenant), &name, owner)
                .await?;
            self.store.hold_credential(work, &access.credential, owner).await?;
        }
        if task.rotation.kind != RotationKind::Rotate {
            let mut reader = store::reader(&self.db).await?;
            let hosts = store::access::hosts(&mut reader, &access.id).await?;
            drop(reader);
            for host in &hosts {
                self.store.hold_server(work, &host.server, owner).await?;
            }
        }
        let version = task.new_version()?;
        let key = match &version.client_key {
            Some(made) => {
                self.store.register(work, &access.credential, &version.id, made).await?;
                made.clone()
            }
            None => self.store.generate(work, &access.credential, &version.id, access.algorithm).await?,
        };
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a key was generated").await?;
            self.current(&mut tx, task).await?;
            store::version::generated(&mut tx, &version.id, &key).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// Before the further host is touched.
    async fn hold(&self, task: &Task, server: &ServerId) -> Result<(), Failure> {
        self.store.hold_server(task.work(), server, task.access.id.as_str()).await
    }

    async fn account(&self, task: &Task, server: &ServerId) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let hosts = store::access::hosts(&mut reader, &task.access.id).await?;
        drop(reader);
        let create = hosts.iter().any(|host| host.server == *server && host.create_account);
        let create = create || task.access.create_account;
        let door = self.door(task, server).await?;
        if door
            .server
            .management
            .as_ref()
            .is_some_and(|(_, username)| username == task.access.account.as_str())
        {
            return Err(Failure::new(
                Reason::AccountNotAllowed,
                "The account is Keywright's own on this server.",
            ));
        }
        self.converger.hosts.account(&door, &task.access.account, create).await
    }

    /// The versions that this rotation brings to a host: its own, unless a later one has been proven there; to a further
    /// host every key in use.
    async fn brought<'a>(&self, task: &'a Task, server: &ServerId) -> Result<Vec<&'a Version>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        if task.rotation.brings_a_key() {
            let new = task.new_version()?;
            let lines = store::line::of(&mut reader, &task.access.id).await?;
            let is_proven = |version: &Version| {
                lines
                    .iter()
                    .any(|line| line.server == *server && line.version == version.id && line.is_proven())
            };
            let later = |version: &Version| version.number > new.number && version.state.is_live();
            let overtaken = task.versions.iter().any(|version| later(version) && is_proven(version));
            return Ok(if overtaken { Vec::new() } else { vec![new] });
        }
        let graces = store::rotation::graces(&mut reader, &task.access.id).await?;
        let over = |version: &Version| {
            let ended = graces.iter().any(|(old, end, _)| *old == version.id && *end <= task.now);
            version.state == VersionState::Grace && ended
        };
        let in_use =
            |version: &&Version| version.state.is_live() && version.public_key.is_some() && !over(version);
        Ok(task.versions.iter().filter(in_use).collect())
    }

    async fn install(&self, task: &Task, server: &ServerId) -> Result<Option<Edited>, Failure> {
        let versions = self.brought(task, server).await?;
        if versions.is_empty() {
            return Ok(None);
        }
        let wanted = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a line is wanted").await?;
            let rotation = self.current(&mut tx, task).await?;
            if rotation.failing_at.is_some() {
                return Err(Failure::new(Reason::RevisionMismatch, "The rotation is being undone.").into());
            }
            refuse_if_leaving(&mut tx, task, server).await?;
            for version in &versions {
                store::line::want(&mut tx, &task.access.id, server, &version.id).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        wanted.await?;
        let door = self.door(task, server).await?;
        let edited = self.converger.converge_to_prove(&door, &task.access).await?;
        for version in versions {
            self.line(task, server, version, LineState::Installed, None, None).await?;
        }
        Ok(Some(edited))
    }

    async fn prove(&self, task: &Task, step: &Step) -> Result<(), Failure> {
        let server = server_of(step)?;
        let mut asking = Asking { work: task.work(), has_turn: has_turn(&step.reason) };
        for version in self.brought(task, server).await? {
            let receipt = self.prove_one(task, server, version, asking).await?;
            asking.has_turn = false;
            let accepted = receipt.accepted;
            self.line(task, server, version, LineState::Installed, None, Some(&receipt)).await?;
            if !accepted {
                self.doubt_options(task, server).await?;
                let what = "The server does not accept the key: see its log, and who may write to the account's home.";
                return Err(Failure::new(Reason::HostEditFailed, what));
            }
        }
        Ok(())
    }

    /// If the edit changed the options of the policy too, the way back is to those that were known to work.
    async fn doubt_options(&self, task: &Task, server: &ServerId) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a host refuses a key with new options").await?;
            self.current(&mut tx, task).await?;
            store::line_options::refused(&mut tx, &task.access.id, server).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// A key whose private half is not here (any more) can only be offered.
    async fn prove_one(
        &self,
        task: &Task,
        server: &ServerId,
        version: &Version,
        asking: Asking<'_>,
    ) -> Result<Receipt, Failure> {
        let (account, public_key) = (&task.access.account, public_key(version)?);
        if !version.has_private_half() {
            return self.refusals.offer(asking, server, account, public_key).await;
        }
        let key = KeyToProve { credential: &task.access.credential, version: &version.id, public_key };
        self.probe.login(task.work(), server, account.as_str(), key).await
    }

    /// One transaction; from here only forward.
    async fn promote(&self, task: &Task) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a promotion").await?;
            let mut rotation = self.current(&mut tx, task).await?;
            if rotation.promoted_at.is_none() {
                let now = tx.now();
                rotation.promoted_at = Some(now);
                rotation.state = RotationState::Converging;
                if let Some(old) = &rotation.old_version {
                    let end = if rotation.grace.is_zero() {
                        now
                    } else {
                        now.plus(rotation.grace).ceil_to_second()
                    };
                    rotation.grace_ends_at = Some(end);
                    store::version::set_state(&mut tx, old, VersionState::Grace).await?;
                }
                if let Some(dropped) = &rotation.drops {
                    store::rotation::end_grace_now(&mut tx, dropped).await?;
                }
                store::version::promoted(&mut tx, &rotation.new_version).await?;
                store::rotation::update(&mut tx, &rotation).await?;
                store::access::set_revoked(&mut tx, &rotation.access, None).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        done.await?;
        self.custody.push(&task.access, Some(task.work())).await
    }

    /// Its holder has his copy.
    async fn destroy_old(&self, task: &Task) -> Result<(), Failure> {
        let old = task.old_version()?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("old material is to be destroyed").await?;
            self.current(&mut tx, task).await?;
            store::version::destroy(&mut tx, &old.id).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        done.await?;
        self.custody.push(&task.access, Some(task.work())).await
    }

    /// The host is to end the old key by itself, where it can; after the rewrite the key must still be accepted, or the
    /// rewrite is undone and Keywright ends it.
    async fn expire_old(&self, task: &Task, step: &Step) -> Result<Option<Edited>, Failure> {
        let (server, old) = (server_of(step)?, task.old_version()?);
        let Some(enforced_by) = self.standing(task, server, old).await? else { return Ok(None) };
        // Before the edit: what was edited is offered at once.
        let asking = Asking { work: task.work(), has_turn: has_turn(&step.reason) };
        self.refusals.wait(asking, server).await?;
        let door = self.door(task, server).await?;
        let key = public_key(old)?;
        if enforced_by != Some(Enforcer::Keywright) {
            let edited = self.converger.converge(&door, &task.access).await?;
            let by_host = edited.enforced.contains(&(old.number, Enforcer::Sshd));
            if by_host {
                let receipt = self.probe.offer(task.work(), server, &task.access.account, key).await?;
                let over = self.db.now().await?;
                if receipt.accepted || task.rotation.grace_ends_at.is_some_and(|end| end <= over) {
                    let by = Some(Enforcer::Sshd);
                    self.line(task, server, old, LineState::Expiring, by, Some(&receipt)).await?;
                    return Ok(Some(edited));
                }
            }
            self.line(task, server, old, LineState::Installed, Some(Enforcer::Keywright), None).await?;
        }
        let edited = self.converger.converge(&door, &task.access).await?;
        let receipt = self.probe.offer(task.work(), server, &task.access.account, key).await?;
        let by = Some(Enforcer::Keywright);
        self.line(task, server, old, LineState::Installed, by, Some(&receipt)).await?;
        Ok(Some(edited))
    }

    async fn retire_old(&self, task: &Task) -> Result<(), Failure> {
        let old = task.old_version()?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a key retires").await?;
            self.current(&mut tx, task).await?;
            store::version::set_state(&mut tx, &old.id, VersionState::Retired).await?;
            store::line::remove(&mut tx, &old.id).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        done.await?;
        self.custody.push(&task.access, Some(task.work())).await
    }

    /// From a host that has proven the new key, or that leaves the access.
    async fn remove_old(&self, task: &Task, server: &ServerId) -> Result<Option<Edited>, Failure> {
        if task.rotation.brings_a_key() {
            let old = task.old_version()?;
            let done = self.db.serialized(|| async {
                let mut tx = self.db.begin_internal("a line is to go").await?;
                self.current(&mut tx, task).await?;
                store::line::remove_on(&mut tx, server, &old.id).await?;
                tx.commit().await?;
                Ok::<(), Error>(())
            });
            done.await?;
        }
        let door = self.door(task, server).await?;
        match self.converger.converge(&door, &task.access).await {
            // No account, no way in; the offers prove it.
            Err(failure) if failure.is(Reason::AccountNotFound) => Ok(None),
            other => other.map(Some),
        }
    }

    async fn prove_refused(&self, task: &Task, step: &Step) -> Result<(), Failure> {
        let server = server_of(step)?;
        let mut asking = Asking { work: task.work(), has_turn: has_turn(&step.reason) };
        if task.rotation.brings_a_key() {
            return self.prove_one_refused(task, server, task.old_version()?, asking).await;
        }
        let mut reader = store::reader(&self.db).await?;
        let lines = store::line::of(&mut reader, &task.access.id).await?;
        drop(reader);
        let left = |version: &&Version| {
            let of = |line: &&Line| line.server == *server && line.version == version.id;
            let line = lines.iter().find(of);
            version.public_key.is_some() && line.is_some_and(|line| line.state != LineState::RemovedProven)
        };
        for version in task.versions.iter().filter(left) {
            self.prove_one_refused(task, server, version, asking).await?;
            asking.has_turn = false;
        }
        Ok(())
    }

    async fn prove_one_refused(
        &self,
        task: &Task,
        server: &ServerId,
        version: &Version,
        asking: Asking<'_>,
    ) -> Result<(), Failure> {
        let key = public_key(version)?;
        let receipt = self.refusals.offer(asking, server, &task.access.account, key).await?;
        if !receipt.accepted {
            return self.line(task, server, version, LineState::RemovedProven, None, Some(&receipt)).await;
        }
        let again = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a removal is done again").await?;
            self.current(&mut tx, task).await?;
            store::step::reopen(&mut tx, &task.rotation.id, StepName::RemoveOld, server).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        again.await?;
        Err(Failure::new(Reason::HostEditFailed, "The server still accepts an old key."))
    }

    /// After the proven removal: the reference on the server and the account go. A revocation that is still at work there
    /// comes first.
    async fn leave(&self, task: &Task, server: &ServerId) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        if store::revocation::is_open_on(&mut reader, &task.access.id, server).await? {
            return Err(Failure::new(
                Reason::RequestInProgress,
                "A revocation is still at work on the host.",
            ));
        }
        drop(reader);
        self.store.let_go_of_server(task.work(), server, task.access.id.as_str()).await?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a host left").await?;
            self.current(&mut tx, task).await?;
            store::access::host_left(&mut tx, &task.access.id, server).await?;
            store::line::forget_on(&mut tx, &task.access.id, server).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// Who ends the old key on the host; None where it does not stand or is no longer in its grace.
    async fn standing(
        &self,
        task: &Task,
        server: &ServerId,
        old: &Version,
    ) -> Result<Option<Option<Enforcer>>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let lines = store::line::of(&mut reader, &task.access.id).await?;
        let line = lines.into_iter().find(|line| line.server == *server && line.version == old.id);
        let gone = |line: &Line| matches!(line.state, LineState::RemovalPending | LineState::RemovedProven);
        let stands = line.filter(|line| old.state == VersionState::Grace && !gone(line));
        Ok(stands.map(|line| line.enforced_by))
    }

    async fn line(
        &self,
        task: &Task,
        server: &ServerId,
        version: &Version,
        state: LineState,
        by: Option<Enforcer>,
        receipt: Option<&Receipt>,
    ) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("where a line stands").await?;
            self.current(&mut tx, task).await?;
            if state != LineState::RemovedProven {
                refuse_if_leaving(&mut tx, task, server).await?;
                refuse_if_retired(&mut tx, task, version).await?;
            }
            store::line::set_state(&mut tx, server, &version.id, state).await?;
            if let Some(by) = by {
                store::line::set_enforcer(&mut tx, server, &version.id, by).await?;
            }
            if let Some(receipt) = receipt {
                store::line::set_receipt(&mut tx, server, &version.id, receipt).await?;
                if receipt.accepted {
                    store::line_options::proven(&mut tx, &task.access.id, server).await?;
                }
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}

/// A step that began before its host was taken off the access brings nothing back.
async fn refuse_if_leaving(tx: &mut Tx, task: &Task, server: &ServerId) -> Result<(), Error> {
    let stays = store::access::staying_hosts(tx.conn(), &task.access.id).await?;
    if stays.iter().any(|host| host.server == *server) {
        return Ok(());
    }
    Err(Failure::new(Reason::RevisionMismatch, "The host leaves the access.").into())
}

/// Nor does one that began before its key ended.
async fn refuse_if_retired(tx: &mut Tx, task: &Task, version: &Version) -> Result<(), Error> {
    let versions = store::version::of(tx.conn(), &task.access.id).await?;
    let retired = |now: &Version| now.id == version.id && now.state == VersionState::Retired;
    if versions.iter().any(retired) {
        return Err(Failure::new(Reason::RevisionMismatch, "The key has ended meanwhile.").into());
    }
    Ok(())
}

pub(super) fn public_key(version: &Version) -> Result<&PublicKey, Failure> {
    let key = version.public_key.as_ref();
    key.ok_or_else(|| Failure::new(Reason::Internal, "The version has no key yet."))
}
