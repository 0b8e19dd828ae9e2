//! Starts a graceful rotation: the old key stays valid for the grace period.

use super::possession::{ClientKey, Offered};
use super::start::{Plan, Recorded, earlier};
use super::{Starter, gates};
use crate::adapters::credential_store::CredentialStore;
use crate::model::{Access, CampaignState, Host, Origin, RotationKind, RotationState, Version, VersionState};
use crate::recovery;
use crate::schedule::caps;
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, RotationId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::time::Duration;
use tracing::instrument;

pub const LONGEST_GRACE: Duration = Duration::from_secs(7 * 24 * 3600);
/// What nobody asked for cuts nobody off, whatever a policy says.
const SHORTEST_AUTOMATIC_GRACE: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone)]
pub struct StartRotation {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    pub starter: Starter,
}

/// As it was asked for.
#[derive(Debug)]
pub struct Rotate {
    pub tenant: String,
    pub access: String,
    pub confirmation: Option<String>,
    pub grace: Result<Option<Duration>, Failure>,
    pub drop_grace_key: bool,
    pub comment: String,
    pub offered: Offered,
    pub scope: Result<Option<Scope>, Failure>,
}

struct Wanted {
    tenant: TenantId,
    access: AccessId,
    grace: Duration,
    drop_grace_key: bool,
    comment: String,
    scope: Option<Scope>,
    origin: Option<Origin>,
    client_key: Option<ClientKey>,
}

impl StartRotation {
    #[instrument(skip_all, fields(access = shown(&asked.access)))]
    pub async fn run(&self, caller: &Caller, asked: Rotate) -> Result<RotationId, Failure> {
        let (tenant, access) = gates::tenant_and_access(&asked.tenant, &asked.access)?;
        let missing = Reason::AccessNotFound;
        self.guard.allow(caller, "access.rotate", Some(&tenant), access.as_str(), missing).await?;
        recovery::refuse_while_active(&self.db).await?;
        let wanted = self.parse(tenant, access, asked).await?;
        self.rotate(caller, &wanted).await
    }

    /// The service's own wish, on behalf of `origin`: nobody is asked, everything else holds as for a person, and a
    /// freeze refuses it (FROZEN). `grace` is never less than the policy's; None for that, a day at least. Asked again by
    /// the same campaign it answers what it began, unless that failed.
    #[instrument(skip_all, fields(access = %access, origin = origin.work()))]
    pub async fn start_automatic(
        &self,
        access: &AccessId,
        grace: Option<Duration>,
        origin: &Origin,
    ) -> Result<RotationId, Failure> {
        recovery::refuse_while_active(&self.db).await?;
        let mut reader = store::reader(&self.db).await?;
        let found = store::access::find(&mut reader, access).await?;
        let found = found.ok_or_else(|| Failure::not_found(Reason::AccessNotFound, access.as_str()))?;
        let settings = store::policy::effective(&mut reader, &found.tenant, Some(access)).await?;
        let hosts = store::access::staying_hosts(&mut reader, access).await?;
        drop(reader);
        require_usable(&self.store, hosts).await?;
        let wanted = Wanted {
            tenant: found.tenant,
            access: found.id,
            grace: grace.unwrap_or(SHORTEST_AUTOMATIC_GRACE).max(settings.grace_period).min(LONGEST_GRACE),
            drop_grace_key: false,
            comment: String::new(),
            scope: None,
            origin: Some(origin.clone()),
            client_key: None,
        };
        self.rotate(&Caller::background(ServiceName::KeyLifecycle, origin.work()), &wanted).await
    }

    async fn rotate(&self, caller: &Caller, wanted: &Wanted) -> Result<RotationId, Failure> {
        self.store.require_open_tenant(&wanted.tenant).await?;
        let entry = Entry::new("access.rotate").tenant(Some(&wanted.tenant)).target(wanted.access.as_str());
        let entry =
            entry.comment(&wanted.comment).detail("gracePeriod", format!("{}s", wanted.grace.as_secs()));
        let entry = match &wanted.origin {
            Some(origin) => entry.detail("origin", origin.work()),
            None => entry,
        };
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.start(wanted, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn parse(&self, tenant: TenantId, access: AccessId, asked: Rotate) -> Result<Wanted, Failure> {
        gates::comment(&asked.comment)?;
        let grace = asked.grace?;
        if grace.is_some_and(|grace| grace > LONGEST_GRACE) {
            return Err(Failure::violation("gracePeriod", "must be from 0 to 7 days"));
        }
        let scope = asked.scope?;
        let client_key = asked.offered.parse()?;
        let mut reader = store::reader(&self.db).await?;
        gates::find_usable(&mut reader, &tenant, &access).await?;
        gates::confirmed(asked.confirmation.as_deref(), &access)?;
        let settings = store::policy::effective(&mut reader, &tenant, Some(&access)).await?;
        let grace = grace.unwrap_or(settings.grace_period);
        let hosts = store::access::staying_hosts(&mut reader, &access).await?;
        drop(reader);
        require_usable(&self.store, hosts).await?;
        let (drop_grace_key, comment) = (asked.drop_grace_key, asked.comment);
        Ok(Wanted { tenant, access, grace, drop_grace_key, comment, scope, origin: None, client_key })
    }

    async fn start(&self, wanted: &Wanted, intent: &Intent) -> Result<RotationId, Failure> {
        let recorded = self.db.serialized(|| self.record(wanted, intent)).await?;
        self.starter.follow(recorded, intent, wanted.scope.as_ref()).await
    }

    async fn record(&self, wanted: &Wanted, intent: &Intent) -> Result<Recorded, Error> {
        let mut tx = self.db.begin(intent).await?;
        if let Some(before) = earlier(&mut tx, intent, wanted.scope.as_ref()).await? {
            tx.commit().await?;
            return Ok(Recorded::Before(before));
        }
        if let Some(origin) = &wanted.origin {
            if let Some(before) = begun_by(&mut tx, &wanted.access, origin).await? {
                intent.done(&mut tx, Outcome::succeeded().with("rotationId", before.as_str())).await?;
                tx.commit().await?;
                return Ok(Recorded::Before(before));
            }
            refuse_if_stopped(&mut tx, origin).await?;
            if store::freeze::is_frozen(tx.conn(), &wanted.tenant).await? {
                return Err(Failure::new(Reason::Frozen, "Automatic work is stopped.").into());
            }
            if *origin == Origin::Schedule {
                caps::refuse_if_full(&mut tx, &wanted.tenant, &wanted.access).await?;
            }
        }
        let access = gates::find_usable(tx.conn(), &wanted.tenant, &wanted.access).await?;
        if access.revoked_at.is_some() {
            return Err(Failure::new(Reason::AccessRevoked, "The access is revoked.").into());
        }
        refuse_while_running(&mut tx, &access).await?;
        let versions = store::version::of(tx.conn(), &access.id).await?;
        let active = versions.iter().find(|version| version.state == VersionState::Active);
        if wanted.origin.is_some() && active.is_some_and(Version::is_client_made) {
            let what = "The holder of this key made it: only he replaces it.";
            return Err(Failure::new(Reason::PolicyForbids, what).into());
        }
        let (grace, drops) = during_grace(&mut tx, &access, &versions, active, wanted).await?;
        let servers = hosts_now(&mut tx, &access).await?;
        let plan = Plan {
            access: &access,
            kind: RotationKind::Rotate,
            old: active.map(|version| &version.id),
            grace,
            drops,
            comment: &wanted.comment,
            servers: &servers,
            origin: wanted.origin.as_ref(),
            client_key: wanted.client_key.as_ref(),
        };
        let rotation = self.starter.record(&mut tx, plan, wanted.scope.as_ref(), None).await?;
        tx.commit().await?;
        Ok(Recorded::Begun(rotation))
    }
}

/// Never more than two keys without being asked. When asked: who downloaded the active key keeps it for the grace
/// period and the older one ends; an active key that nobody has is not worth a grace, and the older one keeps its time.
async fn during_grace(
    tx: &mut Tx,
    access: &Access,
    versions: &[Version],
    active: Option<&Version>,
    wanted: &Wanted,
) -> Result<(Duration, Option<RotationId>), Error> {
    let now = tx.now();
    let graces = store::rotation::graces(tx.conn(), &access.id).await?;
    let live = |version: &&Version| version.state == VersionState::Grace;
    let ending = versions.iter().filter(live).find_map(|version| {
        graces
            .iter()
            .find(|(old, end, _)| *old == version.id && *end > now)
            .map(|(_, end, rotation)| (*end, rotation))
    });
    let Some((end, rotation)) = ending else { return Ok((wanted.grace, None)) };
    if !wanted.drop_grace_key {
        return Err(in_grace(end).into());
    }
    let held = match active {
        Some(active) => {
            active.is_client_made() || !store::claim::of_version(tx.conn(), &active.id).await?.is_empty()
        }
        None => false,
    };
    Ok(if held { (wanted.grace, Some(rotation.clone())) } else { (Duration::ZERO, None) })
}

fn in_grace(end: Instant) -> Failure {
    Failure::new(Reason::GraceInProgress, "The previous key is still in its grace period.")
        .with("graceEndsAt", end.rfc3339())
}

/// What the same campaign began for the access before, so that a crash between here and its own record starts nothing
/// twice.
async fn begun_by(tx: &mut Tx, access: &AccessId, origin: &Origin) -> Result<Option<RotationId>, Error> {
    let Some(campaign) = origin.campaign() else { return Ok(None) };
    let before = store::rotation::of_campaign(tx.conn(), campaign, access).await?;
    let stands = |state| !matches!(state, RotationState::Failed | RotationState::Stuck);
    Ok(before.filter(|before| stands(before.state)).map(|before| before.id))
}

/// A host that is away holds up no further rotation: what waits for it goes on beside this one.
pub(super) async fn refuse_while_running(tx: &mut Tx, access: &Access) -> Result<(), Error> {
    match store::rotation::running(tx.conn(), &access.id).await? {
        None => Ok(()),
        Some(rotation) => {
            let failure = Failure::new(Reason::RotationInProgress, "A rotation of the access is running.");
            Err(failure.with("rotationId", rotation.id.as_str()).into())
        }
    }
}

/// New work may begin on all of them.
pub(super) async fn require_usable(store: &CredentialStore, hosts: Vec<Host>) -> Result<(), Failure> {
    for host in &hosts {
        gates::usable(&store.server(&host.server).await?)?;
    }
    Ok(())
}

/// Those that the rotation is for, as they are in its own transaction: one that came meanwhile must not keep the old key
/// alone, which ends.
pub(super) async fn hosts_now(tx: &mut Tx, access: &Access) -> Result<Vec<ServerId>, Error> {
    let hosts = store::access::staying_hosts(tx.conn(), &access.id).await?;
    Ok(hosts.into_iter().map(|host| host.server).collect())
}

/// A campaign that was paused or cancelled meanwhile begins nothing more.
async fn refuse_if_stopped(tx: &mut Tx, origin: &Origin) -> Result<(), Error> {
    let Some(id) = origin.campaign() else { return Ok(()) };
    match store::campaign::find(tx.conn(), id).await? {
        Some(campaign) if campaign.state != CampaignState::Running => {
            Err(Failure::new(Reason::RequestInProgress, "The campaign does not run.").into())
        }
        _ => Ok(()),
    }
}
