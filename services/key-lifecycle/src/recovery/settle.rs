//! What is left after a recovery: keys that an operator wants back, keys that should be gone, and hosts that could not
//! be asked. Host by host, again until it is done.

use super::WORK;
use super::probe::Rounds;
use crate::model::{Access, Answer, Finding, LineState, RecoveryLine};
use crate::rotation::{Converger, plan};
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::{AccessId, VersionId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

/// Lines of one run.
const AT_ONCE: i64 = 200;

#[derive(Clone)]
pub struct Settler {
    pub db: Db,
    pub audit: Audit,
    pub rounds: Rounds,
    pub converger: Converger,
}

impl Settler {
    /// Everything that is due, once.
    #[instrument(skip_all)]
    pub async fn run(&self) -> Result<(), Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let due = store::recovery::due(&mut reader, now, AT_ONCE).await?;
        drop(reader);
        let of_account =
            |one: &RecoveryLine, next: &RecoveryLine| one.server == next.server && one.owner == next.owner;
        for lines in due.chunk_by(of_account) {
            if let Err(failure) = self.account(lines).await {
                tracing::info!(reason = failure.reason.as_str(), "a host is not settled yet");
                self.put_off(lines, &failure).await?;
            }
        }
        Ok(())
    }

    async fn account(&self, lines: &[RecoveryLine]) -> Result<(), Failure> {
        let Some(first) = lines.first() else { return Ok(()) };
        let Some(id) = first.access() else { return Ok(()) };
        let mut edit = Vec::new();
        for line in lines {
            let line = if line.answer == Answer::Unreachable {
                self.ask(&id, line).await?
            } else {
                Some(line.clone())
            };
            edit.extend(line);
        }
        if edit.is_empty() {
            return Ok(());
        }
        let mut reader = store::reader(&self.db).await?;
        let access = store::access::find(&mut reader, &id).await?;
        drop(reader);
        let Some(access) = access else { return Ok(()) };
        let caller = Caller::background(ServiceName::KeyLifecycle, WORK);
        let entry = Entry::new("host.edit").tenant(Some(&access.tenant)).target(first.server.as_str());
        let intent = self.audit.intend(&caller, entry.detail("accessId", id.as_str())).await?;
        let result = self.edit(&access, &edit, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    /// A host that could not be asked before: the line, if the host must be edited for it.
    async fn ask(&self, access: &AccessId, line: &RecoveryLine) -> Result<Option<RecoveryLine>, Failure> {
        let (answer, detail) = self.rounds.ask(line).await?;
        if answer == Answer::Unreachable {
            return Err(Failure::new(Reason::HostUnreachable, detail));
        }
        let line = RecoveryLine { answer, ..line.clone() };
        let finding = line.finding();
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a host could be asked at last").await?;
            store::recovery::answered(&mut tx, &line.id, answer, "").await?;
            let version = version(&line)?;
            match finding {
                Finding::Missing => {
                    store::line::set_state(&mut tx, &line.server, &version, LineState::RemovedProven).await?;
                    store::recovery::settle(&mut tx, &line.id).await?;
                }
                Finding::Unexpected => {
                    store::line::want(&mut tx, access, &line.server, &version).await?;
                    store::line::set_state(&mut tx, &line.server, &version, LineState::RemovalPending)
                        .await?;
                }
                Finding::AsRecorded | Finding::Unprobed | Finding::Unreachable => {
                    store::recovery::settle(&mut tx, &line.id).await?;
                }
            }
            store::access::touch(&mut tx, access).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        done.await?;
        Ok((finding == Finding::Unexpected).then_some(line))
    }

    async fn edit(&self, access: &Access, lines: &[RecoveryLine], intent: &Intent) -> Result<(), Failure> {
        let Some(first) = lines.first() else { return Ok(()) };
        let door = self.converger.door(&first.server, WORK).await?;
        self.converger.converge(&door, access).await?;
        let mut proven = Vec::new();
        for line in lines {
            let put_back = line.put_back_at.is_some();
            let receipt = self
                .rounds
                .refusals
                .offer_in_turn(WORK, &line.server, &line.account, &line.public_key)
                .await?;
            if receipt.accepted != put_back {
                let what = if put_back { "does not accept the key" } else { "still accepts the key" };
                return Err(Failure::new(Reason::HostEditFailed, format!("The server {what}.")));
            }
            proven.push((line, receipt));
        }
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin(intent).await?;
            for (line, receipt) in &proven {
                let version = version(line)?;
                let state = if receipt.accepted { LineState::Installed } else { LineState::RemovedProven };
                store::line::set_state(&mut tx, &line.server, &version, state).await?;
                store::line::set_receipt(&mut tx, &line.server, &version, receipt).await?;
                store::recovery::settle(&mut tx, &line.id).await?;
            }
            store::access::touch(&mut tx, &access.id).await?;
            intent.done(&mut tx, Outcome::succeeded()).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn put_off(&self, lines: &[RecoveryLine], failure: &Failure) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a host is settled later").await?;
            for line in lines {
                let until = tx.now().plus(plan::pause(line.attempts.saturating_add(1)));
                store::recovery::put_off(&mut tx, &line.id, until, &failure.message).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}

fn version(line: &RecoveryLine) -> Result<VersionId, Failure> {
    VersionId::parse(&line.version_id)
        .map_err(|_| Failure::new(Reason::Internal, "The line names no version."))
}
