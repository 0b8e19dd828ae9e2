//! Generates and installs a new key after a revocation.

use super::possession::{ClientKey, Offered};
use super::start::{Plan, Recorded, earlier};
use super::start_rotation::{hosts_now, refuse_while_running, require_usable};
use super::{Starter, gates};
use crate::adapters::credential_store::CredentialStore;
use crate::model::RotationKind;
use crate::recovery;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, RotationId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent};
use std::time::Duration;
use tracing::instrument;

#[derive(Clone)]
pub struct RegenerateKey {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    pub starter: Starter,
}

/// As it was asked for.
#[derive(Debug)]
pub struct Regenerate {
    pub tenant: String,
    pub access: String,
    pub confirmation: Option<String>,
    pub comment: String,
    pub offered: Offered,
    pub scope: Result<Option<Scope>, Failure>,
}

struct Wanted {
    tenant: TenantId,
    access: AccessId,
    comment: String,
    scope: Option<Scope>,
    client_key: Option<ClientKey>,
}

impl RegenerateKey {
    #[instrument(skip_all, fields(access = shown(&asked.access)))]
    pub async fn run(&self, caller: &Caller, asked: Regenerate) -> Result<RotationId, Failure> {
        let (tenant, access) = gates::tenant_and_access(&asked.tenant, &asked.access)?;
        let missing = Reason::AccessNotFound;
        self.guard.allow(caller, "access.regenerate", Some(&tenant), access.as_str(), missing).await?;
        recovery::refuse_while_active(&self.db).await?;
        let wanted = self.parse(tenant, access, asked).await?;
        self.store.require_open_tenant(&wanted.tenant).await?;
        let entry =
            Entry::new("access.regenerate").tenant(Some(&wanted.tenant)).target(wanted.access.as_str());
        let intent = self.audit.intend(caller, entry.comment(&wanted.comment)).await?;
        let result = self.start(&wanted, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn parse(&self, tenant: TenantId, access: AccessId, asked: Regenerate) -> Result<Wanted, Failure> {
        gates::comment(&asked.comment)?;
        let scope = asked.scope?;
        let client_key = asked.offered.parse()?;
        let mut reader = store::reader(&self.db).await?;
        gates::find_usable(&mut reader, &tenant, &access).await?;
        gates::confirmed(asked.confirmation.as_deref(), &access)?;
        let hosts = store::access::staying_hosts(&mut reader, &access).await?;
        drop(reader);
        require_usable(&self.store, hosts).await?;
        Ok(Wanted { tenant, access, comment: asked.comment, scope, client_key })
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
        if access.revoked_at.is_none() {
            return Err(Failure::new(Reason::AccessNotRevoked, "The access is not revoked.").into());
        }
        refuse_while_running(&mut tx, &access).await?;
        let servers = hosts_now(&mut tx, &access).await?;
        let plan = Plan {
            access: &access,
            kind: RotationKind::Regenerate,
            old: None,
            grace: Duration::ZERO,
            drops: None,
            comment: &wanted.comment,
            servers: &servers,
            origin: None,
            client_key: wanted.client_key.as_ref(),
        };
        let rotation = self.starter.record(&mut tx, plan, wanted.scope.as_ref(), None).await?;
        tx.commit().await?;
        Ok(Recorded::Begun(rotation))
    }
}
