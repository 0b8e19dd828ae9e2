//! Graces that end: told of 4 hours before, with what the hosts' logs say of the old key's use. One that an automatic rotation began, and whose new key nobody has by then,
//! is extended, once.

use super::window::between;
use super::{Scheduler, told};
use crate::key_use::LastUse;
use crate::model::{LineState, Rotation, VersionState};
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{RotationId, VersionId};
use keywright_runtime::audit::Entry;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Intent, Outcome, Tx};
use std::time::Duration;

const NOTICE: Duration = Duration::from_secs(4 * 3600);
/// The logs are read at the time of the notice, which waits for them so long, and no longer than half of what is left.
const PATIENCE: Duration = Duration::from_secs(600);
/// A grace lasts so long in all when it was extended.
const EXTENDED: Duration = Duration::from_secs(7 * 24 * 3600);

impl Scheduler {
    pub(super) async fn graces(&self, now: Instant) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let ending = store::schedule::ending(&mut reader, now, now.plus(NOTICE)).await?;
        drop(reader);
        for id in ending {
            self.grace(&id, now).await?;
        }
        Ok(())
    }

    async fn grace(&self, id: &RotationId, now: Instant) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let Some(rotation) = store::rotation::find(&mut reader, id).await? else { return Ok(()) };
        let Some(end) = rotation.grace_ends_at else { return Ok(()) };
        let unclaimed = is_unclaimed(&mut reader, &rotation).await?;
        drop(reader);
        let longer = rotation.promoted_at.map(|at| at.plus(EXTENDED)).filter(|longer| *longer > end);
        let Some(longer) = longer.filter(|_| unclaimed) else {
            return self.ending(&rotation, end, now).await;
        };
        let caller = Caller::background(ServiceName::KeyLifecycle, id.as_str());
        let entry = Entry::new("rotation.extend_grace").tenant(Some(&rotation.tenant));
        let entry = entry.target(rotation.access.as_str()).detail("rotationId", id.as_str());
        let entry = entry.detail("graceEndsAt", longer.rfc3339());
        let intent = self.audit.intend(&caller, entry).await?;
        let extended = self.db.serialized(|| self.extend(id, longer, &intent)).await;
        let result = extended.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn ending(&self, rotation: &Rotation, end: Instant, now: Instant) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let is_old = |id: &VersionId| rotation.old_version.as_ref() == Some(id);
        let earliest = end.minus(NOTICE);
        let lines = store::line::of(&mut reader, &rotation.access).await?;
        let has_key = lines.iter().filter(|line| is_old(&line.version) && is_there(line.state)).count();
        let mut read = store::key_use::of(&mut reader, &rotation.access).await?;
        drop(reader);
        read.retain(|one| is_old(&one.version));
        let last = LastUse::of(has_key, read, earliest);
        let from = rotation.promoted_at.map_or(earliest, |promoted_at| promoted_at.max(earliest));
        if !last.is_complete && now < from.plus(PATIENCE.min(between(from, end) / 2)) {
            return Ok(());
        }
        self.tell(&told::ending(rotation, end, &last)).await
    }

    /// What was seen is looked at again: a download may have come between.
    async fn extend(&self, id: &RotationId, end: Instant, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        let rotation = store::rotation::find(tx.conn(), id).await?;
        let outcome = match rotation {
            Some(rotation) if is_unclaimed(tx.conn(), &rotation).await? => {
                self.write(&mut tx, &rotation, end).await?
            }
            _ => Outcome::failed("KEY_ALREADY_DOWNLOADED"),
        };
        intent.done(&mut tx, outcome).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn write(&self, tx: &mut Tx, rotation: &Rotation, end: Instant) -> Result<Outcome, Error> {
        if !store::rotation::extend_grace(tx, &rotation.id, end).await? {
            return Ok(Outcome::failed("REVISION_MISMATCH"));
        }
        store::notice::write(tx, &told::extended(rotation, end.ceil_to_second())).await?;
        store::access::touch(tx, &rotation.access).await?;
        Ok(Outcome::succeeded())
    }
}

const fn is_there(state: LineState) -> bool {
    matches!(state, LineState::Installed | LineState::Expiring | LineState::RemovalPending)
}

/// The service began it, its grace was never extended, and nobody has had the key that it brought.
async fn is_unclaimed(conn: &mut store::Connection, rotation: &Rotation) -> Result<bool, Error> {
    if !rotation.automatic || rotation.grace_extended_at.is_some() {
        return Ok(false);
    }
    let settings = store::policy::effective(conn, &rotation.tenant, Some(&rotation.access)).await?;
    let versions = store::version::of(conn, &rotation.access).await?;
    let new = versions.iter().find(|version| version.id == rotation.new_version);
    let can_be_had = settings.downloads_per_version > 0
        && new.is_some_and(|version| version.state == VersionState::Active && version.has_private_half());
    Ok(can_be_had && store::claim::of_version(conn, &rotation.new_version).await?.is_empty())
}
