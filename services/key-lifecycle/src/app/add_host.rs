//! Puts the keys of an access on a further host. No key changes: a failure takes nothing from anybody.

use super::start::{Plan, Recorded, earlier};
use super::start_rotation::refuse_while_running;
use super::{Starter, gates};
use crate::adapters::credential_store::{CredentialStore, Server};
use crate::model::{Access, RotationKind, VersionState};
use crate::recovery;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, RotationId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Tx};
use std::time::Duration;
use tracing::instrument;

#[derive(Clone)]
pub struct AddHost {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    pub starter: Starter,
}

/// As it was asked for.
#[derive(Debug)]
pub struct Add {
    pub tenant: String,
    pub access: String,
    pub server: String,
    pub create_account: bool,
    pub comment: String,
    pub scope: Result<Option<Scope>, Failure>,
}

struct Wanted {
    tenant: TenantId,
    access: AccessId,
    server: Server,
    create_account: bool,
    comment: String,
    scope: Option<Scope>,
}

impl AddHost {
    #[instrument(skip_all, fields(access = shown(&asked.access), server = shown(&asked.server)))]
    pub async fn run(&self, caller: &Caller, asked: Add) -> Result<RotationId, Failure> {
        let (tenant, access) = gates::tenant_and_access(&asked.tenant, &asked.access)?;
        let missing = Reason::AccessNotFound;
        self.guard.allow(caller, "access.add_host", Some(&tenant), access.as_str(), missing).await?;
        recovery::refuse_while_active(&self.db).await?;
        let wanted = self.parse(tenant, access, asked).await?;
        self.store.require_open_tenant(&wanted.tenant).await?;
        let entry = Entry::new("access.add_host").tenant(Some(&wanted.tenant)).target(wanted.access.as_str());
        let entry = entry.comment(&wanted.comment).detail("serverId", wanted.server.id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.start(&wanted, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn parse(&self, tenant: TenantId, access: AccessId, asked: Add) -> Result<Wanted, Failure> {
        gates::comment(&asked.comment)?;
        let scope = asked.scope?;
        let mut reader = store::reader(&self.db).await?;
        let found = gates::find_usable(&mut reader, &tenant, &access).await?;
        drop(reader);
        let server = gates::server_for(&self.store, &tenant, &asked.server, &found.account).await?;
        let (create_account, comment) = (asked.create_account, asked.comment);
        Ok(Wanted { tenant, access, server, create_account, comment, scope })
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
        let access = gates::find_usable(tx.conn(), &wanted.tenant, &wanted.access).await?;
        if access.revoked_at.is_some() {
            return Err(Failure::new(Reason::AccessRevoked, "The access is revoked.").into());
        }
        refuse_while_running(&mut tx, &access).await?;
        join(&mut tx, &access, wanted).await?;
        let versions = store::version::of(tx.conn(), &access.id).await?;
        let active = versions.iter().find(|version| version.state == VersionState::Active);
        let active =
            active.ok_or_else(|| Failure::new(Reason::AccessNotFound, "The access has no key yet."))?;
        let plan = Plan {
            access: &access,
            kind: RotationKind::AddHost,
            old: Some(&active.id),
            grace: Duration::ZERO,
            drops: None,
            comment: &wanted.comment,
            servers: std::slice::from_ref(&wanted.server.id),
            origin: None,
            client_key: None,
        };
        let rotation = self.starter.record(&mut tx, plan, wanted.scope.as_ref(), None).await?;
        tx.commit().await?;
        Ok(Recorded::Begun(rotation))
    }
}

/// As one host more, if the access may have it.
async fn join(tx: &mut Tx, access: &Access, wanted: &Wanted) -> Result<(), Error> {
    let hosts = store::access::hosts(tx.conn(), &access.id).await?;
    if hosts.len() >= gates::MOST_SERVERS {
        let most = format!("is one more than the {} that an access may have", gates::MOST_SERVERS);
        return Err(Failure::violation("serverId", most).into());
    }
    let position = store::access::next_position(tx, &access.id).await?;
    gates::join(tx, access, &wanted.server, position, wanted.create_account).await
}
