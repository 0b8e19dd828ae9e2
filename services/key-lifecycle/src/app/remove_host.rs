//! Takes every key of an access off one host. The host takes no part in the access from the moment it is asked for; the
//! work goes on until the host has been proven to refuse the keys, however long it is down.

use super::start::{Plan, Recorded, earlier};
use super::{Starter, gates};
use crate::model::{Access, RotationKind, VersionState};
use crate::recovery;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, RotationId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::time::Duration;
use tracing::instrument;

#[derive(Clone)]
pub struct RemoveHost {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub starter: Starter,
}

/// As it was asked for.
#[derive(Debug)]
pub struct Remove {
    pub tenant: String,
    pub access: String,
    pub server: String,
    pub confirmation: Option<String>,
    pub comment: String,
    pub scope: Result<Option<Scope>, Failure>,
}

struct Wanted {
    tenant: TenantId,
    access: AccessId,
    server: ServerId,
    comment: String,
    scope: Option<Scope>,
}

impl RemoveHost {
    #[instrument(skip_all, fields(access = shown(&asked.access), server = shown(&asked.server)))]
    pub async fn run(&self, caller: &Caller, asked: Remove) -> Result<RotationId, Failure> {
        let (tenant, access) = gates::tenant_and_access(&asked.tenant, &asked.access)?;
        let missing = Reason::AccessNotFound;
        self.guard.allow(caller, "access.remove_host", Some(&tenant), access.as_str(), missing).await?;
        recovery::refuse_while_active(&self.db).await?;
        let wanted = self.parse(tenant, access, asked).await?;
        let entry =
            Entry::new("access.remove_host").tenant(Some(&wanted.tenant)).target(wanted.access.as_str());
        let entry = entry.comment(&wanted.comment).detail("serverId", wanted.server.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.db.serialized(|| self.record(&wanted, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        self.starter.wake.notify_one();
        match result? {
            Recorded::Begun(rotation) | Recorded::Before(rotation) => Ok(rotation),
        }
    }

    async fn parse(&self, tenant: TenantId, access: AccessId, asked: Remove) -> Result<Wanted, Failure> {
        gates::comment(&asked.comment)?;
        let scope = asked.scope?;
        let mut reader = store::reader(&self.db).await?;
        gates::find_usable(&mut reader, &tenant, &access).await?;
        drop(reader);
        let missing = |_| Failure::not_found(Reason::ServerNotFound, &asked.server);
        let server = ServerId::parse(&asked.server).map_err(missing)?;
        gates::confirmed(asked.confirmation.as_deref(), &access)?;
        Ok(Wanted { tenant, access, server, comment: asked.comment, scope })
    }

    async fn record(&self, wanted: &Wanted, intent: &Intent) -> Result<Recorded, Error> {
        let mut tx = self.db.begin(intent).await?;
        if let Some(before) = earlier(&mut tx, intent, wanted.scope.as_ref()).await? {
            tx.commit().await?;
            return Ok(Recorded::Before(before));
        }
        let access = gates::find_usable(tx.conn(), &wanted.tenant, &wanted.access).await?;
        refuse(&mut tx, &access, &wanted.server).await?;
        let versions = store::version::of(tx.conn(), &access.id).await?;
        let active = versions.iter().find(|version| version.state == VersionState::Active);
        let Some(version) = active.or(versions.last()) else {
            return Err(Failure::new(Reason::AccessNotFound, "The access has no key yet.").into());
        };
        // From here on nothing but the removal is done on the host.
        store::step::give_up_host(&mut tx, &access.id, &wanted.server).await?;
        store::line::remove_all_on(&mut tx, &access.id, &wanted.server).await?;
        store::access::leave_host(&mut tx, &access.id, &wanted.server).await?;
        store::rotation::wake(&mut tx, &access.id).await?;
        let plan = Plan {
            access: &access,
            kind: RotationKind::RemoveHost,
            old: Some(&version.id),
            grace: Duration::ZERO,
            drops: None,
            comment: &wanted.comment,
            servers: std::slice::from_ref(&wanted.server),
            origin: None,
            client_key: None,
        };
        let rotation = self.starter.record(&mut tx, plan, wanted.scope.as_ref(), None).await?;
        intent.done(&mut tx, Outcome::succeeded().with("rotationId", rotation.as_str())).await?;
        tx.commit().await?;
        Ok(Recorded::Begun(rotation))
    }
}

/// A rotation that is not promoted yet needs its hosts: it ends first. One that has left this host behind does not: the
/// removal is the way out of waiting for a host that never comes back.
async fn refuse(tx: &mut Tx, access: &Access, server: &ServerId) -> Result<(), Error> {
    let hosts = store::access::hosts(tx.conn(), &access.id).await?;
    if !hosts.iter().any(|host| host.server == *server) {
        return Err(Failure::not_found(Reason::ServerNotFound, server.as_str()).into());
    }
    let in_progress = |id: &RotationId, message: &str| {
        Failure::new(Reason::RotationInProgress, message).with("rotationId", id.as_str())
    };
    if let Some(before) = store::rotation::removal(tx.conn(), &access.id, server).await? {
        return Err(in_progress(&before.id, "The host is being removed.").into());
    }
    if let Some(running) = store::rotation::running(tx.conn(), &access.id).await? {
        return Err(in_progress(&running.id, "A rotation of the access is running.").into());
    }
    if !hosts.iter().any(|host| host.server != *server && !host.leaving) {
        return Err(Failure::new(Reason::LastHost, "It is the last host of the access.").into());
    }
    Ok(())
}
