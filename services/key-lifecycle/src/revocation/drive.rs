//! Per host: the lines removed, sessions ended, the keys proven refused, sessions ended once more; again for ever.

use super::exposure;
use crate::adapters::door::Door;
use crate::adapters::hosts::Edited;
use crate::custody::Custody;
use crate::held::refuse_if_lost;
use crate::krl::Files;
use crate::model::{Access, Line, LineState, Revocation, RevocationHost, Version, VersionState};
use crate::refusals::{Asking, Refusals, has_turn, turn_of};
use crate::rotation::{Converger, plan, receipt};
use crate::store;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{RevocationId, ServerId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::lease::Lease;
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::instrument;

/// Hosts that are worked on at once.
const AT_ONCE: usize = 32;
/// How long a host whose next try has come may wait for one that does not answer.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub struct Revoker {
    pub db: Db,
    pub audit: Audit,
    pub refusals: Refusals,
    pub custody: Custody,
    pub converger: Converger,
    pub files: Files,
}

pub(super) struct Task {
    pub(super) revocation: Revocation,
    pub(super) access: Access,
    hosts: Vec<RevocationHost>,
    /// Under which it is driven: whoever has lost it writes nothing any more.
    lease: Option<Lease>,
}

/// What became of a try on a host; when the last of the keys was proven refused.
struct Done {
    edited: Option<Edited>,
    result: Result<Instant, Failure>,
}

impl Task {
    pub(super) async fn refuse_if_lost(&self, tx: &mut Tx) -> Result<(), Error> {
        refuse_if_lost(tx, self.lease.as_ref()).await
    }
}

impl Revoker {
    /// Every host that is due, until none is. REVISION_MISMATCH: another process has taken it over.
    #[instrument(skip_all, fields(revocation = %id))]
    pub async fn run(&self, id: &RevocationId, lease: Option<&Lease>) -> Result<(), Failure> {
        let Some(task) = self.load(id, lease).await? else { return Ok(()) };
        // The sweep says it again if the store cannot hear it now.
        let destroyed = self.custody.push(&task.access, Some(id.as_str()));
        let (destroyed, hosts) = futures_util::future::join(destroyed, self.hosts(id, lease)).await;
        if let Err(failure) = destroyed {
            tracing::info!(reason = failure.reason.as_str(), "revoked material waits for its destruction");
        }
        hosts?;
        super::release::after(&self.db, &self.converger.store, &task.revocation).await?;
        self.db.serialized(|| self.settle(id, lease)).await.map_err(Failure::from)
    }

    /// A host that answers waits for none that does not: each is taken when its time has come, those that failed least
    /// first. What cannot be recorded is not done again at once: what has begun comes to its end, and that was all.
    async fn hosts(&self, id: &RevocationId, lease: Option<&Lease>) -> Result<(), Failure> {
        let (mut running, mut busy) = (FuturesUnordered::new(), HashSet::new());
        let mut unrecorded = None;
        loop {
            if unrecorded.is_none() {
                let Some(task) = self.load(id, lease).await?.map(Arc::new) else { return Ok(()) };
                for host in self.due(&task, &busy).await? {
                    busy.insert(host.server.clone());
                    let task = task.clone();
                    running.push(async move {
                        let recorded = self.host(&task, &host).await;
                        (host.server, recorded)
                    });
                }
            }
            tokio::select! {
                ended = running.next() => match ended {
                    Some((server, recorded)) => {
                        busy.remove(&server);
                        unrecorded = unrecorded.or(recorded.err());
                    }
                    None => return unrecorded.map_or(Ok(()), Err),
                },
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Those whose time has come, as far as there is room: what failed least first, and last what no other revocation
    /// finds there either.
    async fn due(&self, task: &Task, busy: &HashSet<ServerId>) -> Result<Vec<RevocationHost>, Failure> {
        let now = self.db.now().await?;
        let is_due = |host: &&RevocationHost| {
            host.proven_at.is_none() && plan::is_over(host.not_before, now) && !busy.contains(&host.server)
        };
        let mut due: Vec<RevocationHost> = task.hosts.iter().filter(is_due).cloned().collect();
        let room = AT_ONCE.saturating_sub(busy.len());
        if due.len() > room {
            let mut reader = store::reader(&self.db).await?;
            let away = store::revocation::unanswered(&mut reader).await?;
            due.sort_by_key(|host| (host.attempts, away.contains(&host.server)));
            due.truncate(room);
        }
        Ok(due)
    }

    async fn load(&self, id: &RevocationId, lease: Option<&Lease>) -> Result<Option<Task>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let Some(revocation) = store::revocation::find(&mut reader, id).await? else { return Ok(None) };
        let Some(access) = store::access::find(&mut reader, &revocation.access).await? else {
            return Ok(None);
        };
        let hosts = store::revocation::hosts(&mut reader, id).await?;
        Ok(Some(Task { revocation, access, hosts, lease: lease.cloned() }))
    }

    async fn settle(&self, id: &RevocationId, lease: Option<&Lease>) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("how a revocation stands").await?;
        refuse_if_lost(&mut tx, lease).await?;
        let hosts = store::revocation::hosts(tx.conn(), id).await?;
        let Some(revocation) = store::revocation::find(tx.conn(), id).await? else { return Ok(()) };
        let now = tx.now();
        let next = hosts.iter().filter(|host| host.proven_at.is_none()).map(|host| host.not_before).min();
        match next {
            Some(next) => {
                let telling = exposure::next(revocation.requested_at, now);
                store::revocation::wait(&mut tx, id, next.min(telling)).await?;
                if let Some(notice) = exposure::notice(&revocation, &hosts, now) {
                    store::notice::write(&mut tx, &notice).await?;
                }
            }
            None => {
                store::revocation::finish(&mut tx, id).await?;
                store::access::touch(&mut tx, &revocation.access).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Whether it could be recorded.
    async fn host(&self, task: &Task, host: &RevocationHost) -> Result<(), Failure> {
        let work = task.revocation.id.as_str();
        let caller = Caller::background(ServiceName::KeyLifecycle, work);
        let entry = Entry::new("host.revoke").tenant(Some(&task.access.tenant)).target(host.server.as_str());
        let entry = entry.detail("accessId", task.access.id.as_str());
        let entry = entry.detail("account", task.access.account.as_str());
        // A log that does not answer holds nothing back: it is told when it does.
        let intent = match self.db.now().await {
            Ok(now) => self.audit.intend_or_spool(&caller, entry, now).await.ok(),
            Err(_) => None,
        };
        let mut now_known = host.clone();
        let mut edited = None;
        let result = self.revoke_on(task, &mut now_known, &mut edited).await;
        if let Err(failure) = &result {
            tracing::info!(server = %host.server, reason = failure.reason.as_str(), "a host still lets a revoked key in");
        }
        let done = Done { edited, result };
        let recorded = self.db.serialized(|| self.record(task, &now_known, intent.as_ref(), &done)).await;
        let recorded = recorded.map_err(Failure::from);
        if let Some(intent) = &intent {
            self.audit.conclude(&self.db, intent, &recorded).await;
        }
        if let (Ok(()), Ok(proven_at)) = (&recorded, &done.result) {
            crate::metrics::proven_refused(task.revocation.requested_at, *proven_at);
        }
        recorded
    }

    async fn record(
        &self,
        task: &Task,
        host: &RevocationHost,
        intent: Option<&Intent>,
        Done { edited, result }: &Done,
    ) -> Result<(), Error> {
        let mut tx = match intent {
            Some(intent) => self.db.begin(intent).await?,
            None => self.db.begin_internal("what a revocation did on a host").await?,
        };
        task.refuse_if_lost(&mut tx).await?;
        let mut host = host.clone();
        let turn = result.as_ref().err().and_then(turn_of);
        if turn.is_none() {
            host.attempts = host.attempts.saturating_add(1);
        }
        let outcome = match result {
            Ok(proven_at) => {
                host.proven_at = Some(*proven_at);
                host.reason.clear();
                Outcome::succeeded()
            }
            Err(failure) => {
                host.reason = failure.reason.as_str().to_owned();
                host.not_before = turn.unwrap_or_else(|| tx.now().plus(plan::pause(host.attempts)));
                Outcome::failed(failure.reason.as_str())
            }
        };
        store::revocation::update_host(&mut tx, &task.revocation.id, &host).await?;
        store::access::touch(&mut tx, &task.access.id).await?;
        if let Some(intent) = intent {
            let outcome = receipt::told(outcome, edited.as_ref());
            intent.done(&mut tx, outcome.with("revocationId", task.revocation.id.as_str())).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// When the last of the keys was proven refused.
    async fn revoke_on(
        &self,
        task: &Task,
        host: &mut RevocationHost,
        seen: &mut Option<Edited>,
    ) -> Result<Instant, Failure> {
        let door = self.converger.door(&host.server, task.revocation.id.as_str()).await?.kept_open();
        let proven_at = self.revoke_by(task, host, &door, seen).await;
        door.close().await;
        proven_at
    }

    async fn revoke_by(
        &self,
        task: &Task,
        host: &mut RevocationHost,
        door: &Door,
        seen: &mut Option<Edited>,
    ) -> Result<Instant, Failure> {
        let keys = self.revoked_on(task, &host.server).await?;
        // It was edited before it was given its turn.
        let mut has_turn = has_turn(&host.reason);
        if !has_turn {
            let edited = self.edit(task, door, host).await;
            // Whatever the file said: who is in needs no line any more.
            let ended = match &edited {
                Err(failure) if !is_reached(failure) => Ok(()),
                _ => self.end_sessions(task, door, &keys, host).await,
            };
            *seen = edited?;
            ended?;
        }
        let mut proven_at = self.db.now().await?;
        for (version, line) in &keys {
            if !is_proven_since(line, task.revocation.requested_at) {
                let asking = Asking { work: task.revocation.id.as_str(), has_turn };
                proven_at = self.prove_refused(task, &host.server, version, asking).await?;
                has_turn = false;
            }
        }
        // Who was let in before the edit may have come to his session after the sessions were ended.
        self.end_sessions(task, door, &keys, host).await?;
        Ok(proven_at)
    }

    async fn edit(
        &self,
        task: &Task,
        door: &Door,
        host: &mut RevocationHost,
    ) -> Result<Option<Edited>, Failure> {
        match self.converger.converge(door, &task.access).await {
            Ok(edited) => {
                self.files.bring(door, &edited).await;
                host.residual.clone_from(&edited.residual);
                Ok(Some(edited))
            }
            // No account, no way in; the offers prove it.
            Err(failure) if failure.is(Reason::AccountNotFound) => {
                host.residual = Vec::new();
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The revoked versions that ever had a line on the host, and whatever else was about to leave it.
    async fn revoked_on(&self, task: &Task, server: &ServerId) -> Result<Vec<(Version, Line)>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let versions = store::version::of(&mut reader, &task.access.id).await?;
        let lines = store::line::of(&mut reader, &task.access.id).await?;
        let with_line = versions.into_iter().filter_map(|version| {
            let line = lines.iter().find(|line| line.server == *server && line.version == version.id)?;
            let leaving = version.state == VersionState::Revoked || line.state == LineState::RemovalPending;
            leaving.then(|| (version, line.clone()))
        });
        Ok(with_line.collect())
    }

    async fn prove_refused(
        &self,
        task: &Task,
        server: &ServerId,
        version: &Version,
        asking: Asking<'_>,
    ) -> Result<Instant, Failure> {
        let Some(key) = &version.public_key else { return Ok(self.db.now().await?) };
        let receipt = self.refusals.offer(asking, server, &task.access.account, key).await?;
        let state = if receipt.accepted { LineState::RemovalPending } else { LineState::RemovedProven };
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("where a revoked line stands").await?;
            task.refuse_if_lost(&mut tx).await?;
            store::line::set_state(&mut tx, server, &version.id, state).await?;
            store::line::set_receipt(&mut tx, server, &version.id, &receipt).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        done.await?;
        if receipt.accepted {
            return Err(Failure::new(Reason::HostEditFailed, "The server still accepts a revoked key."));
        }
        Ok(receipt.proven_at())
    }
}

/// Somebody was there to be asked.
const fn is_reached(failure: &Failure) -> bool {
    !matches!(
        failure.reason,
        Reason::HostUnreachable
            | Reason::HostKeyMismatch
            | Reason::HostKeyUnpinned
            | Reason::TargetNotAllowed
            | Reason::RecoveryMode
    )
}

/// What an earlier revocation proved says nothing of now: somebody may have put the key back since.
fn is_proven_since(line: &Line, requested_at: Instant) -> bool {
    let refused = line.receipt.as_ref().filter(|receipt| !receipt.accepted);
    line.state == LineState::RemovedProven
        && refused.is_some_and(|receipt| receipt.proven_at() >= requested_at)
}
