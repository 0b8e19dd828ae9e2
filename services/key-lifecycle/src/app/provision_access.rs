//! Provisions a tenant's access to one account on one or many servers.
//!
//! Invariant: a key algorithm that is asked for becomes the access's own policy, so that every later key follows it too.

use super::possession::{ClientKey, Offered};
use super::start::Plan;
use super::{Starter, gates};
use crate::adapters::credential_store::{CredentialStore, Server};
use crate::model::{Access, OwnSettings, RotationKind, Settings};
use crate::recovery;
use crate::store;
use keywright_domain::account::AccountName;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, CredentialId, RotationId, ServerId, TenantId};
use keywright_domain::key::KeyAlgorithm;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::repeat;
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome};
use std::time::Duration;
use tracing::instrument;

#[derive(Clone)]
pub struct ProvisionAccess {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    pub starter: Starter,
}

/// As it was asked for.
#[derive(Debug)]
pub struct Provision {
    pub tenant: String,
    pub servers: Vec<String>,
    pub account: String,
    pub create_account: bool,
    pub algorithm: String,
    pub offered: Offered,
    pub scope: Result<Option<Scope>, Failure>,
}

struct Wanted {
    tenant: TenantId,
    servers: Vec<Server>,
    account: AccountName,
    create_account: bool,
    /// None: as the policy says.
    algorithm: Option<KeyAlgorithm>,
    by: String,
    client_key: Option<ClientKey>,
}

/// What the first transaction did.
enum Recorded {
    Begun(AccessId, RotationId),
    Before(AccessId),
}

impl ProvisionAccess {
    #[instrument(skip_all, fields(tenant = shown(&asked.tenant)))]
    pub async fn run(&self, caller: &Caller, asked: Provision) -> Result<AccessId, Failure> {
        let tenant = gates::tenant(&asked.tenant)?;
        let missing = Reason::TenantNotFound;
        self.guard.allow(caller, "access.provision", Some(&tenant), tenant.as_str(), missing).await?;
        recovery::refuse_while_active(&self.db).await?;
        let scope = asked.scope.clone()?;
        self.store.require_open_tenant(&tenant).await?;
        let wanted = self.parse(caller, tenant, &asked).await?;
        let targets: Vec<&str> = wanted.servers.iter().map(|server| server.id.as_str()).collect();
        let entry = Entry::new("access.provision")
            .tenant(Some(&wanted.tenant))
            .target(targets.first().unwrap_or(&""));
        let entry = entry.detail("servers", targets.join(" ")).detail("account", wanted.account.as_str());
        let entry = match wanted.algorithm {
            Some(algorithm) => entry.detail("keyAlgorithm", algorithm.as_str()),
            None => entry,
        };
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.start(&wanted, &intent, scope.as_ref()).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn parse(&self, caller: &Caller, tenant: TenantId, asked: &Provision) -> Result<Wanted, Failure> {
        let account = match asked.account.as_str() {
            "" => AccountName::default_for(&tenant),
            text => {
                AccountName::parse(text).map_err(|error| Failure::violation("account", error.to_string()))?
            }
        };
        if account.is_system() {
            return Err(Failure::new(Reason::AccountNotAllowed, "The account belongs to the system."));
        }
        let client_key = asked.offered.clone().parse()?;
        let algorithm = match asked.algorithm.as_str() {
            "" => None,
            name => Some(
                KeyAlgorithm::parse(name)
                    .map_err(|_| Failure::violation("keyAlgorithm", "is not one of those listed"))?,
            ),
        };
        if algorithm
            .is_some_and(|asked| client_key.as_ref().is_some_and(|key| key.public.algorithm() != asked))
        {
            return Err(Failure::violation("keyAlgorithm", "is not the public key's"));
        }
        let servers = self.servers(&tenant, &asked.servers, &account).await?;
        let (create_account, by) = (asked.create_account, caller.principal.id.clone());
        Ok(Wanted { tenant, servers, account, create_account, algorithm, by, client_key })
    }

    async fn servers(
        &self,
        tenant: &TenantId,
        ids: &[String],
        account: &AccountName,
    ) -> Result<Vec<Server>, Failure> {
        if ids.is_empty() || ids.len() > gates::MOST_SERVERS {
            let range = format!("must name 1 to {} servers", gates::MOST_SERVERS);
            return Err(Failure::violation("serverIds", range));
        }
        let mut servers: Vec<Server> = Vec::new();
        for text in ids {
            if servers.iter().any(|server| server.id.as_str() == text) {
                return Err(Failure::violation("serverIds", "names a server twice"));
            }
            servers.push(gates::server_for(&self.store, tenant, text, account).await?);
        }
        Ok(servers)
    }

    async fn start(
        &self,
        wanted: &Wanted,
        intent: &Intent,
        scope: Option<&Scope>,
    ) -> Result<AccessId, Failure> {
        match self.db.serialized(|| self.record(wanted, intent, scope)).await? {
            Recorded::Before(access) => Ok(access),
            Recorded::Begun(access, rotation) => {
                self.starter.begin(&rotation, intent, scope).await?;
                Ok(access)
            }
        }
    }

    async fn record(
        &self,
        wanted: &Wanted,
        intent: &Intent,
        scope: Option<&Scope>,
    ) -> Result<Recorded, Error> {
        let mut tx = self.db.begin(intent).await?;
        if let Some(before) = repeat::first_answer(&mut tx, scope).await? {
            let missing = || Failure::not_found(Reason::AccessNotFound, &before);
            let access = AccessId::parse(&before).map_err(|_| missing())?;
            intent.done(&mut tx, Outcome::succeeded().with("accessId", before.as_str())).await?;
            tx.commit().await?;
            return Ok(Recorded::Before(access));
        }
        let access = Access {
            id: AccessId::random()?,
            tenant: wanted.tenant.clone(),
            account: wanted.account.clone(),
            credential: CredentialId::random()?,
            algorithm: wanted.algorithm.unwrap_or(Settings::default().key_algorithm),
            create_account: wanted.create_account,
            created_at: tx.now(),
            revoked_at: None,
            closed_at: None,
            deprovision_at: None,
            deprovisioned_at: None,
            revision: 1,
        };
        store::access::insert(&mut tx, &access).await?;
        if wanted.algorithm.is_some() {
            let own = OwnSettings { key_algorithm: wanted.algorithm, ..OwnSettings::default() };
            store::policy::put(&mut tx, Some(&access.tenant), Some(&access.id), &own, &wanted.by).await?;
        }
        for (position, server) in (1i64..).zip(&wanted.servers) {
            gates::join(&mut tx, &access, server, position, wanted.create_account).await?;
        }
        let servers: Vec<ServerId> = wanted.servers.iter().map(|server| server.id.clone()).collect();
        let plan = Plan {
            access: &access,
            kind: RotationKind::Provision,
            old: None,
            grace: Duration::ZERO,
            drops: None,
            comment: "",
            servers: &servers,
            origin: None,
            client_key: wanted.client_key.as_ref(),
        };
        let rotation = self.starter.record(&mut tx, plan, scope, Some(access.id.as_str())).await?;
        tx.commit().await?;
        Ok(Recorded::Begun(access.id, rotation))
    }
}
