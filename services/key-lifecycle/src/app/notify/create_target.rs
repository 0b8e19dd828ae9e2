//! Adds somebody who is told: a webhook, or an e-mail address.

use crate::adapters::credential_store::CredentialStore;
use crate::adapters::mail;
use crate::app::gates;
use crate::model::{NotificationKind, Target};
use crate::notify::events;
use crate::notify::signature::{Keyring, salt};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{NotificationTargetId, TenantId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_egress::signature::shown;
use keywright_egress::{Endpoint, Webhooks};
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

/// Of one tenant, or of the platform.
const MOST: usize = 20;

#[derive(Clone)]
pub struct CreateTarget {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    pub webhooks: Webhooks,
    pub keyring: Keyring,
    /// Whether e-mail can be sent at all.
    pub mails: bool,
}

/// As it is asked for.
#[derive(Debug)]
pub struct Asked {
    /// Empty for the platform.
    pub tenant: String,
    pub kind: Option<NotificationKind>,
    pub address: String,
    pub events: Vec<String>,
}

impl CreateTarget {
    /// The target, and the secret that verifies a webhook's signature.
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, asked: Asked) -> Result<(Target, Option<Secret>), Failure> {
        let tenant = match asked.tenant.as_str() {
            "" => None,
            id => Some(gates::tenant(id)?),
        };
        self.authorize(caller, tenant.as_ref()).await?;
        let kind = asked.kind.ok_or_else(|| Failure::violation("kind", "must be webhook or email"))?;
        let (address, told) = self.parse_address(kind, asked.address.trim()).await?;
        let events = parse_events(asked.events)?;
        if let Some(tenant) = &tenant {
            self.store.require_tenant(caller, tenant).await?;
        }
        let (id, salt) = (NotificationTargetId::random()?, salt()?);
        let (secret, secret_check) = self
            .keyring
            .derive(&id, &salt)
            .ok_or_else(|| Failure::new(Reason::Internal, "The target's secret could not be made."))?;
        let entry = Entry::new("notification.create")
            .tenant(tenant.as_ref())
            .target(id.as_str())
            .detail("kind", kind.as_str())
            .detail("address", told);
        let intent = self.audit.intend(caller, entry).await?;
        let target = Target {
            id,
            own: caller.principal.tenant.is_some() && caller.principal.tenant == tenant,
            tenant,
            kind,
            address,
            events,
            salt,
            secret_check,
            previous: None,
            created_at: self.db.now().await?,
            created_by: caller.principal.id.clone(),
            last_delivered_at: None,
            failing_since: None,
            last_error: String::new(),
            disabled: false,
            deleted: false,
        };
        let result = self.db.serialized(|| self.insert(&target, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        let target = result?;
        Ok((target, (kind == NotificationKind::Webhook).then(|| shown(&secret))))
    }

    async fn authorize(&self, caller: &Caller, tenant: Option<&TenantId>) -> Result<(), Failure> {
        // A tenant's people have nothing to do with the platform's targets.
        if tenant.is_none() && caller.principal.is_tenant_bound() {
            let own = caller.principal.tenant.as_ref();
            self.guard.allow(caller, "notification.create", own, "", Reason::PermissionDenied).await?;
            return Err(Failure::violation("tenantId", "must be your tenant"));
        }
        let target = tenant.map_or("", TenantId::as_str);
        self.guard.allow(caller, "notification.create", tenant, target, Reason::TenantNotFound).await
    }

    /// The address, and what the log may know of it.
    async fn parse_address(
        &self,
        kind: NotificationKind,
        address: &str,
    ) -> Result<(String, String), Failure> {
        match kind {
            NotificationKind::Webhook => {
                let endpoint = Endpoint::parse(address).map_err(|why| Failure::violation("address", why))?;
                self.webhooks.check(&endpoint).await?;
                return Ok((address.to_owned(), endpoint.origin()));
            }
            NotificationKind::Email if !self.mails => {
                return Err(Failure::violation(
                    "kind",
                    "cannot be email: this server was started without --smtp-url",
                ));
            }
            NotificationKind::Email if !mail::is_address(address) => {
                return Err(Failure::violation("address", "must be an e-mail address"));
            }
            NotificationKind::Email => {}
        }
        Ok((address.to_owned(), address.to_owned()))
    }

    async fn insert(&self, target: &Target, intent: &Intent) -> Result<Target, Error> {
        let mut tx = self.db.begin(intent).await?;
        let there = store::notification_target::of(tx.conn(), target.tenant.as_ref()).await?;
        if there.len() >= MOST {
            let what = format!("cannot be added: there are {MOST} targets already; remove one first");
            return Err(Failure::violation("address", what).into());
        }
        let target = Target { created_at: tx.now(), ..target.clone() };
        store::notification_target::insert(&mut tx, &target).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(target)
    }
}

fn parse_events(given: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut wanted: Vec<String> = Vec::new();
    for name in given {
        let Some(event) = events::offered(name.trim()) else {
            return Err(Failure::violation("events", format!("must be of {}", events::names().join(", "))));
        };
        if !wanted.iter().any(|there| there == event.name) {
            wanted.push(event.name.to_owned());
        }
    }
    Ok(wanted)
}
