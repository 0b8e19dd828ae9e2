//! Saves a private key that a user supplies.

use super::certificate;
use super::intake::{Check, KeyIntake, Supplied, Taken, refuse_known};
use super::update;
use crate::app::custody::shelf::Shelf;
use crate::app::find;
use crate::app::replayed::first_answer;
use crate::app::tenants::open;
use crate::domain::credential::{Credential, Kind};
use crate::domain::text;
use crate::domain::version::{State, Version};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CredentialId, TenantId, VersionId};
use keywright_domain::key::Certificate;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::idempotency::{Answer, keep, replay};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "credential.create";

pub struct CreateCredential {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub intake: KeyIntake,
    pub shelf: Shelf,
}

pub struct NewCredential {
    pub tenant_id: String,
    pub name: String,
    pub username: String,
    pub supplied: Supplied,
    pub allow_resolve: bool,
    /// Empty: none.
    pub certificate: String,
}

struct Parsed {
    id: CredentialId,
    tenant: TenantId,
    name: String,
    username: Option<String>,
    allow_resolve: bool,
    certificate: Option<Certificate>,
}

impl CreateCredential {
    /// `answer` encodes the credential and the checks for the replay of the same request.
    #[instrument(skip_all)]
    pub async fn run<T, A>(
        &self,
        caller: &Caller,
        new: NewCredential,
        scope: Option<Scope>,
        answer: A,
    ) -> Result<T, Failure>
    where
        T: Answer,
        A: Fn(&Credential, &[Check]) -> T,
    {
        let tenant = find::tenant_for_new(caller, &new.tenant_id)?;
        self.guard.allow(caller, ACTION, Some(&tenant), tenant.as_str(), Reason::TenantNotFound).await?;
        // Who may create a credential may not therefore say that its key can leave.
        if new.allow_resolve {
            self.guard
                .allow(caller, update::ACTION, Some(&tenant), tenant.as_str(), Reason::TenantNotFound)
                .await?;
        }
        let parsed = Parsed {
            id: CredentialId::random()?,
            tenant,
            name: text::name("name", &new.name)?,
            username: text::username("username", &new.username)?,
            allow_resolve: new.allow_resolve,
            certificate: certificate::parse(&new.certificate)?,
        };
        let entry = Entry::new(ACTION)
            .tenant(Some(&parsed.tenant))
            .target(parsed.id.as_str())
            .detail("name", parsed.name.as_str())
            .detail("allowResolve", parsed.allow_resolve.to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.create(&parsed, new.supplied, scope.as_ref(), &intent, answer).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn create<T, A>(
        &self,
        new: &Parsed,
        supplied: Supplied,
        scope: Option<&Scope>,
        intent: &Intent,
        answer: A,
    ) -> Result<T, Failure>
    where
        T: Answer,
        A: Fn(&Credential, &[Check]) -> T,
    {
        let Taken { stored, public, origin, checks } =
            self.intake.take(Some(&new.tenant), supplied).await.map_err(|refused| refused.failure)?;
        certificate::require_of(&public, new.certificate.as_ref())?;
        if let Some(first) = first_answer(&self.db, intent, scope).await? {
            return Ok(first);
        }
        let id = VersionId::random()?;
        if let Err(failure) = self.shelf.store(&id, stored).await {
            self.shelf.discard(&id).await;
            return Err(failure);
        }
        let version = |created_at: Instant| Version {
            id: id.clone(),
            number: 1,
            state: State::Active,
            origin,
            public: public.clone(),
            compromised_at: None,
            destroyed_at: None,
            created_at,
        };
        // False: another request with the same idempotency key was faster, and its answer holds.
        let saved: Result<(T, bool), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                if let Some(first) = replay(&mut tx, scope).await? {
                    intent.done(&mut tx, Outcome::succeeded().with("replayed", "true")).await?;
                    tx.commit().await?;
                    return Ok((first, false));
                }
                open::require(&mut tx, &new.tenant).await?;
                refuse_known(&mut tx, &public).await?;
                let credential = Credential {
                    id: new.id.clone(),
                    tenant: Some(new.tenant.clone()),
                    name: new.name.clone(),
                    kind: Kind::Saved,
                    username: new.username.clone(),
                    owner: None,
                    certificate: new.certificate.clone(),
                    current: Some(version(tx.now())),
                    usage_changes: 0,
                    allow_resolve: new.allow_resolve,
                    revision: 1,
                    created_at: tx.now(),
                    rotated_at: None,
                    last_used_at: None,
                };
                store::credential::insert(&mut tx, &credential).await?;
                store::version::insert(&mut tx, &new.id, &version(credential.created_at)).await?;
                self.shelf.adopt(&mut tx, &id).await?;
                let answer = answer(&credential, &checks);
                keep(&mut tx, scope, &answer).await?;
                intent
                    .done(&mut tx, Outcome::succeeded().with("fingerprint", public.fingerprint().as_str()))
                    .await?;
                tx.commit().await?;
                Ok((answer, true))
            })
            .await;
        match saved {
            Ok((answer, true)) => Ok(answer),
            Ok((first, false)) => {
                self.shelf.discard(&id).await;
                Ok(first)
            }
            Err(error) => {
                self.shelf.discard(&id).await;
                Err(error.into_failure())
            }
        }
    }
}
