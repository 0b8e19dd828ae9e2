//! Keys that are due: told of 7 days before, rotated where the policy says so, told of again when their age has ended.

use super::caps::{self, Caps};
use super::window::{Lot, may_begin, planned, zone};
use super::{Aged, Scheduler, told};
use crate::adapters::credential_store::Tenant;
use crate::model::{Origin, RotationState, VersionState};
use crate::store;
use crate::store::schedule::{After, InUse};
use jiff::tz::TimeZone;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use std::collections::HashMap;
use std::time::Duration;

/// Between the notice and what it tells of.
const NOTICE: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest time between the notice and the end of the age: a week's notice of what begins a week before.
const EARLIEST: Duration = Duration::from_secs(15 * 24 * 3600);
const PAGE: i64 = 200;
const FIRST_PAUSE: Duration = Duration::from_secs(3600);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The tenants of one round; None where nothing is done for one now.
type Tenants = HashMap<TenantId, Option<TimeZone>>;

impl Scheduler {
    pub(super) async fn ages(&self, now: Instant) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let shortest = store::policy::shortest_maximum_age(&mut reader).await?;
        let mut caps = Caps::read(&mut reader).await?;
        drop(reader);
        let older = now.minus(shortest.saturating_sub(EARLIEST));
        let (mut tenants, mut after) = (Tenants::new(), After::default());
        loop {
            let mut reader = store::reader(&self.db).await?;
            let page = store::schedule::in_use(&mut reader, older, &after, PAGE).await?;
            drop(reader);
            let Some(last) = page.last() else { return Ok(()) };
            after = After::key(last);
            for key in page {
                self.look(key, now, &mut tenants, &mut caps).await?;
            }
        }
    }

    async fn look(
        &self,
        key: InUse,
        now: Instant,
        tenants: &mut Tenants,
        caps: &mut Caps,
    ) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let settings = store::policy::effective(&mut reader, &key.tenant, Some(&key.access)).await?;
        drop(reader);
        let end = key.promoted_at.plus(settings.maximum_age);
        if now < end.minus(EARLIEST) {
            return Ok(());
        }
        let Some(zone) = self.zone(&key.tenant, tenants).await else { return Ok(()) };
        let lot = Lot::of(key.access.as_str());
        let automatic = settings.automatic_rotation && !settings.client_made_required && !key.client_made;
        let window = settings.rotation_window.as_ref();
        let aged = Aged { end, planned: automatic.then(|| planned(end, window, &zone, lot)), key };
        if now >= aged.planned.unwrap_or(end).minus(NOTICE) {
            self.tell(&told::due(&aged)).await?;
        }
        if now >= end {
            self.tell(&told::expired(&aged)).await?;
        }
        match aged.planned {
            Some(planned) if may_begin(now, planned, window, &zone, lot) => {
                self.begin(&aged, now, caps).await
            }
            _ => Ok(()),
        }
    }

    /// None where the tenant is suspended or cannot be asked for.
    async fn zone(&self, tenant: &TenantId, tenants: &mut Tenants) -> Option<TimeZone> {
        if let Some(known) = tenants.get(tenant) {
            return known.clone();
        }
        let found = match self.store.tenant(tenant).await {
            Ok(Tenant { open: true, time_zone }) => Some(zone(&time_zone)),
            Ok(Tenant { open: false, .. }) => None,
            Err(failure) => {
                tracing::info!(%tenant, reason = failure.reason.as_str(), "the schedule passes a tenant over");
                None
            }
        };
        tenants.insert(tenant.clone(), found.clone());
        found
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

/// Nothing is done with its keys, no older key is in its grace, and nothing is stuck on a host, which waits for people.
async fn is_idle(conn: &mut store::Connection, key: &InUse, now: Instant) -> Result<bool, Error> {
    let versions = store::version::of(conn, &key.access).await?;
    let in_grace = versions.iter().any(|version| version.state == VersionState::Grace);
    let last = store::rotation::of(conn, &key.access, 1).await?;
    let busy =
        |state| matches!(state, RotationState::Running | RotationState::Converging | RotationState::Stuck);
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
