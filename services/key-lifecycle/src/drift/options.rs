//! The options of a changed policy, brought to the lines that stand.
//!
//! Invariant: the key in use is offered after the edit; a host that refuses it then gets the former options back, and is
//! not asked again until the policy changes. A key that was refused before says nothing of the options.

use super::scanner::Scanner;
use crate::adapters::door::Door;
use crate::app::gates;
use crate::model::{Access, LineState, Receipt, VersionState};
use crate::refusals::Refusals;
use crate::store;
use crate::store::line_options::Due;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{ServerId, VersionId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Intent, Outcome};
use std::time::Duration;
use tracing::instrument;

/// Doubles with every try that fails, up to an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Clone)]
pub struct Refresher {
    pub scanner: Scanner,
    pub refusals: Refusals,
    pub audit: Audit,
}

/// The key in use.
struct InUse {
    version: VersionId,
    key: PublicKey,
}

impl Refresher {
    /// Every access that is due on the server, one after the other.
    #[instrument(skip_all, fields(server = %id))]
    pub async fn server(&self, id: &ServerId, now: Instant) -> Result<(), Failure> {
        let mut reader = store::reader(&self.scanner.db).await?;
        let due = store::line_options::due_on(&mut reader, id, now).await?;
        drop(reader);
        if let Err(failure) = self.look(id, &due).await {
            for due in &due {
                self.later(id, due, &failure).await?;
            }
        }
        Ok(())
    }

    /// Nothing while another looks.
    async fn look(&self, id: &ServerId, due: &[Due]) -> Result<(), Failure> {
        let server = self.scanner.converger.store.server(id).await?;
        gates::usable(&server)?;
        let looked = self.scanner.try_look(&server, |door| async move { self.each(&door, due).await });
        looked.await.map(|_| ())
    }

    async fn each(&self, door: &Door, due: &[Due]) -> Result<(), Failure> {
        for due in due {
            if let Err(failure) = self.access(door, due).await {
                self.later(&door.server.id, due, &failure).await?;
            }
        }
        Ok(())
    }

    async fn later(&self, server: &ServerId, due: &Due, failure: &Failure) -> Result<(), Failure> {
        tracing::info!(access = %due.access, reason = failure.reason.as_str(), "changed options wait");
        if failure.is(Reason::ServerNotFound) {
            self.done(server, due).await
        } else {
            self.put_off(server, due).await
        }
    }

    async fn access(&self, door: &Door, due: &Due) -> Result<(), Failure> {
        let server = &door.server.id;
        let mut reader = store::reader(&self.scanner.db).await?;
        let Some(access) = store::access::find(&mut reader, &due.access).await? else {
            return self.done(server, due).await;
        };
        let hosts = store::access::staying_hosts(&mut reader, &access.id).await?;
        let versions = store::version::of(&mut reader, &access.id).await?;
        let settings = store::policy::effective(&mut reader, &access.tenant, Some(&access.id)).await?;
        let options = store::line_options::of(&mut reader, &access.id, server).await?;
        let busy = store::rotation::running(&mut reader, &access.id).await?.is_some();
        let frozen = store::freeze::is_frozen(&mut reader, &access.tenant).await?;
        drop(reader);
        let active = versions.into_iter().find(|version| version.state == VersionState::Active);
        let in_use = active.and_then(|active| Some(InUse { version: active.id, key: active.public_key? }));
        let there = access.closed_at.is_none() && hosts.iter().any(|host| host.server == *server);
        let Some(in_use) = in_use.filter(|_| there && !options.answers(&settings.line_options)) else {
            return self.done(server, due).await;
        };
        if busy || frozen {
            let what = if frozen { Reason::Frozen } else { Reason::RotationInProgress };
            return Err(Failure::new(what, "The options of the policy come to the host later."));
        }
        let new = options.written.as_ref() != Some(&settings.line_options);
        // What was cut off after its edit has no look from before it any more.
        let accepted = !new || self.offer(door, &access, &in_use).await?.accepted;
        let caller = Caller::background(ServiceName::KeyLifecycle, &door.work);
        let entry = Entry::new("host.edit").tenant(Some(&access.tenant)).target(server.as_str());
        let entry = entry.detail("step", "options").detail("accessId", access.id.as_str());
        let intent = self.audit.intend(&caller, entry).await?;
        let result = self.bring(door, due, &access, &in_use, accepted, &intent).await;
        self.audit.conclude(&self.scanner.db, &intent, &result).await;
        result
    }

    async fn bring(
        &self,
        door: &Door,
        due: &Due,
        access: &Access,
        in_use: &InUse,
        was_accepted: bool,
        intent: &Intent,
    ) -> Result<(), Failure> {
        self.scanner.converger.converge_to_prove(door, access).await?;
        let receipt = self.offer(door, access, in_use).await?;
        if receipt.accepted || !was_accepted {
            return self.record(door, due, access, in_use, &receipt, intent).await;
        }
        let (db, server) = (&self.scanner.db, &door.server.id);
        let back = db.serialized(|| async {
            let mut tx = db.begin_internal("a host refuses the options of the policy").await?;
            let back = store::line_options::refused(&mut tx, &access.id, server).await?;
            tx.commit().await?;
            Ok::<bool, Error>(back)
        });
        if back.await? {
            self.scanner.converger.converge(door, access).await?;
        }
        let receipt = self.offer(door, access, in_use).await?;
        self.record(door, due, access, in_use, &receipt, intent).await
    }

    /// The outcome tells whether the host has the options of the policy now.
    async fn record(
        &self,
        door: &Door,
        due: &Due,
        access: &Access,
        in_use: &InUse,
        receipt: &Receipt,
        intent: &Intent,
    ) -> Result<(), Failure> {
        let (db, server) = (&self.scanner.db, &door.server.id);
        let done = db.serialized(|| async {
            let mut tx = db.begin(intent).await?;
            if receipt.accepted {
                store::line_options::proven(&mut tx, &access.id, server).await?;
            }
            let lines = store::line::of(tx.conn(), &access.id).await?;
            let stands = lines.iter().any(|line| {
                line.server == *server && line.version == in_use.version && line.state == LineState::Installed
            });
            if stands {
                store::line::set_receipt(&mut tx, server, &in_use.version, receipt).await?;
            }
            let options = store::line_options::of(tx.conn(), &access.id, server).await?;
            let outcome = match (receipt.accepted, options.refused) {
                (true, None) => Outcome::succeeded(),
                _ => Outcome::failed(Reason::PolicyForbids.as_str()),
            };
            store::line_options::done(&mut tx, server, due).await?;
            intent.done(&mut tx, outcome).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn offer(&self, door: &Door, access: &Access, in_use: &InUse) -> Result<Receipt, Failure> {
        let (server, work) = (&door.server.id, &door.work);
        self.refusals.offer_in_turn(work, server, &access.account, &in_use.key).await
    }

    async fn done(&self, server: &ServerId, due: &Due) -> Result<(), Failure> {
        let db = &self.scanner.db;
        let done = db.serialized(|| async {
            let mut tx = db.begin_internal("options are as they should be").await?;
            store::line_options::done(&mut tx, server, due).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn put_off(&self, server: &ServerId, due: &Due) -> Result<(), Failure> {
        let db = &self.scanner.db;
        let pause = FIRST_PAUSE.saturating_mul(1 << due.attempts.min(6)).min(LONGEST_PAUSE);
        let done = db.serialized(|| async {
            let mut tx = db.begin_internal("changed options wait").await?;
            let until = tx.now().plus(pause);
            store::line_options::put_off(&mut tx, server, due, until).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}
