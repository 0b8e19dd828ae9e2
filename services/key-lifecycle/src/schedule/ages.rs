//! Keys that are due: told of 7 days before, rotated where the policy says so, told of again when their age has ended.

use super::caps::{self, Caps};
use super::window::{Lot, may_begin, planned, zone};
use super::{Aged, Scheduler, told};
use crate::adapters::directory::TenantState;
use crate::model::{Origin, RotationState, Settings, VersionState};
use crate::store;
use crate::store::policy::Policies;
use crate::store::schedule::{After, InUse};
use jiff::tz::TimeZone;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{TenantId, VersionId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Between the notice and what it tells of.
const NOTICE: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest time between the notice and the end of the age: a week's notice of what begins a week before.
const EARLIEST: Duration = Duration::from_secs(15 * 24 * 3600);
const PAGE: i64 = 200;
const FIRST_PAUSE: Duration = Duration::from_secs(3600);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The tenants of one round; None where one is suspended, or cannot be asked for.
type Tenants = HashMap<TenantId, Option<TimeZone>>;

impl Scheduler {
    pub(super) async fn ages(&self, now: Instant) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let shortest = store::policy::shortest_maximum_age(&mut reader).await?;
        let mut caps = Caps::read(&mut reader).await?;
        let policies = Policies::read(&mut reader).await?;
        drop(reader);
        let older = now.minus(shortest.saturating_sub(EARLIEST));
        let (mut tenants, mut after) = (Tenants::new(), After::default());
        loop {
            let mut reader = store::reader(&self.db).await?;
            let page = store::schedule::in_use(&mut reader, older, &after, PAGE).await?;
            drop(reader);
            let Some(last) = page.last() else { return Ok(()) };
            after = After::key(last);
            let with_policy = page.into_iter().map(|key| {
                let settings = policies.effective(&key.tenant, &key.access);
                (key, settings)
            });
            let is_near = |(key, settings): &(InUse, Settings)| now >= end(key, settings).minus(EARLIEST);
            let due: Vec<(InUse, Settings)> = with_policy.filter(is_near).collect();
            self.learn(&due, &mut tenants).await;
            for (key, settings) in due {
                self.look(key, &settings, now, &tenants, &mut caps).await?;
            }
        }
    }

    async fn look(
        &self,
        key: InUse,
        settings: &Settings,
        now: Instant,
        tenants: &Tenants,
        caps: &mut Caps,
    ) -> Result<(), Failure> {
        let end = end(&key, settings);
        let Some(Some(zone)) = tenants.get(&key.tenant) else { return Ok(()) };
        let lot = Lot::of(key.access.as_str());
        let automatic = settings.automatic_rotation && !settings.client_made_required && !key.client_made;
        let window = settings.rotation_window.as_ref();
        let aged = Aged { end, planned: automatic.then(|| planned(end, window, zone, lot)), key };
        if now >= aged.planned.unwrap_or(end).minus(NOTICE) {
            self.tell(&told::due(&aged)).await?;
        }
        if now >= end {
            self.tell(&told::expired(&aged)).await?;
        }
        match aged.planned {
            Some(planned) if may_begin(now, planned, window, zone, lot) => self.begin(&aged, now, caps).await,
            _ => Ok(()),
        }
    }

    /// The time zones of those whom this round has not met yet.
    async fn learn(&self, of: &[(InUse, Settings)], tenants: &mut Tenants) {
        let new: BTreeSet<&TenantId> =
            of.iter().map(|(key, _)| &key.tenant).filter(|tenant| !tenants.contains_key(*tenant)).collect();
        let new: Vec<TenantId> = new.into_iter().cloned().collect();
        let found = self.store.tenants_named(&new).await.unwrap_or_else(|failure| {
            tracing::info!(reason = failure.reason.as_str(), "the schedule passes tenants over");
            Vec::new()
        });
        tenants.extend(new.into_iter().map(|tenant| (tenant, None)));
        for tenant in found {
            let open = tenant.state == TenantState::Active;
            tenants.insert(tenant.id, open.then(|| zone(&tenant.time_zone)));
        }
    }

    async fn begin(&self, aged: &Aged, now: Instant, caps: &mut Caps) -> Result<(), Failure> {
        if caps.is_full() {
            return Ok(());
        }
        let mut reader = store::reader(&self.db).await?;
        let servers = caps::servers(&mut reader, &aged.key.access).await?;
        if !caps.has_room(&aged.key.tenant, &servers) || !is_idle(&mut reader, &aged.key, now).await? {
            return Ok(());
        }
        drop(reader);
        let Some(tries) = self.db.serialized(|| self.claim(&aged.key)).await.map_err(Failure::from)? else {
            return Ok(());
        };
        let begun = self.rotate.start_automatic(&aged.key.access, None, &Origin::Schedule).await;
        match begun {
            Ok(rotation) => {
                tracing::info!(access = %aged.key.access, %rotation, "rotated because of its age");
                caps.take(&aged.key.tenant, &servers);
                Ok(())
            }
            // Somebody else's work or will came between: that is no try.
            Err(failure) if is_not_yet(failure.reason) => {
                self.db.serialized(|| self.give_back(&aged.key, tries)).await.map_err(Failure::from)
            }
            Err(failure) => {
                tracing::info!(access = %aged.key.access, reason = failure.reason.as_str(), "not rotated");
                if failure.metadata.contains_key("rotationId") {
                    return Ok(());
                }
                self.tell(&told::not_begun(aged, tries, &failure)).await
            }
        }
    }

    /// The number of this try. None where another replica has it, or its time has not come.
    async fn claim(&self, key: &InUse) -> Result<Option<i64>, Error> {
        let mut tx = self.db.begin_internal("an automatic rotation is tried").await?;
        if store::freeze::is_frozen(tx.conn(), &key.tenant).await? {
            return Ok(None);
        }
        let (tries, not_before) = store::schedule::tries(tx.conn(), &key.version).await?;
        if not_before > tx.now() {
            return Ok(None);
        }
        let tries = tries.saturating_add(1);
        let next = tx.now().plus(pause(tries));
        store::schedule::set_tries(&mut tx, key, tries, next).await?;
        tx.commit().await?;
        Ok(Some(tries))
    }

    async fn give_back(&self, key: &InUse, tries: i64) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("an automatic rotation was not tried").await?;
        let now = tx.now();
        store::schedule::set_tries(&mut tx, key, tries.saturating_sub(1), now).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn end(key: &InUse, settings: &Settings) -> Instant {
    key.promoted_at.plus(settings.maximum_age)
}

/// No rotation runs, no older key is in its grace, and nothing is stuck on a host, which waits for people. A host that is
/// away and has only a key whose grace is over holds nothing back.
async fn is_idle(conn: &mut store::Connection, key: &InUse, now: Instant) -> Result<bool, Error> {
    let versions = store::version::of(conn, &key.access).await?;
    let graces = store::rotation::graces(conn, &key.access).await?;
    let ends = |id: &VersionId| graces.iter().any(|(old, end, _)| old == id && *end > now);
    let in_grace = versions.iter().any(|version| version.state == VersionState::Grace && ends(&version.id));
    let last = store::rotation::of(conn, &key.access, 1).await?;
    let busy = |state| matches!(state, RotationState::Running | RotationState::Stuck);
    if in_grace || last.iter().any(|rotation| busy(rotation.state)) {
        return Ok(false);
    }
    let (_, not_before) = store::schedule::tries(conn, &key.version).await?;
    Ok(not_before <= now)
}

const fn is_not_yet(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Frozen | Reason::RotationInProgress | Reason::GraceInProgress | Reason::RecoveryMode
    )
}

/// Doubles from an hour to a day.
fn pause(tries: i64) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(0).min(8);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}
