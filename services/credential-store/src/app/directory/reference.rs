//! Takes and drops references on servers and credentials: what somebody holds cannot be deleted.

use crate::app::find;
use crate::domain::text;
use crate::domain::usage::Reference;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "reference.write";

pub struct HoldReferences {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

/// As it came: one of the two ids is empty.
pub struct Held {
    pub server_id: String,
    pub credential_id: String,
    pub owner: String,
    pub purpose: String,
}

enum Subject {
    Server(ServerId),
    Credential(CredentialId),
}

impl Subject {
    fn as_str(&self) -> &str {
        match self {
            Self::Server(id) => id.as_str(),
            Self::Credential(id) => id.as_str(),
        }
    }

    fn missing(&self) -> Failure {
        match self {
            Self::Server(id) => find::no_server(id.as_str()),
            Self::Credential(id) => find::no_credential(id.as_str()),
        }
    }
}

impl HoldReferences {
    /// Idempotent by owner and purpose.
    #[instrument(skip_all, fields(owner = shown(&held.owner), purpose = shown(&held.purpose)))]
    pub async fn add(&self, caller: &Caller, held: Held) -> Result<(), Failure> {
        let (subject, reference) = parse(held)?;
        let tenant = self.tenant_of(&subject).await?.ok_or_else(|| subject.missing())?;
        let intent = self.intend(caller, &subject, tenant.as_ref(), &reference, "add").await?;
        let added: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                self.still_there(&mut tx, &subject).await?;
                if store::usage::add_reference(&mut tx, subject.as_str(), &reference).await? {
                    self.changed(&mut tx, &subject).await?;
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = added.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    /// Idempotent; of what is gone there is nothing to drop.
    #[instrument(skip_all, fields(owner = shown(&held.owner), purpose = shown(&held.purpose)))]
    pub async fn remove(&self, caller: &Caller, held: Held) -> Result<(), Failure> {
        let (subject, reference) = parse(held)?;
        let Some(tenant) = self.tenant_of(&subject).await? else { return Ok(()) };
        let intent = self.intend(caller, &subject, tenant.as_ref(), &reference, "remove").await?;
        let removed: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if store::usage::remove_reference(&mut tx, subject.as_str(), &reference).await? {
                    self.changed(&mut tx, &subject).await?;
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = removed.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    /// None where there is no such subject; inside, the tenant, which a platform credential does not have.
    async fn tenant_of(&self, subject: &Subject) -> Result<Option<Option<TenantId>>, Failure> {
        Ok(match subject {
            Subject::Server(id) => store::server::find(&self.db, id).await?.map(|server| Some(server.tenant)),
            Subject::Credential(id) => {
                store::credential::find(&self.db, id).await?.map(|credential| credential.tenant)
            }
        })
    }

    async fn intend(
        &self,
        caller: &Caller,
        subject: &Subject,
        tenant: Option<&TenantId>,
        reference: &Reference,
        change: &str,
    ) -> Result<Intent, Failure> {
        let missing = match subject {
            Subject::Server(_) => Reason::ServerNotFound,
            Subject::Credential(_) => Reason::CredentialNotFound,
        };
        self.guard.allow(caller, ACTION, tenant, subject.as_str(), missing).await?;
        let entry = Entry::new(ACTION)
            .tenant(tenant)
            .target(subject.as_str())
            .detail("change", change)
            .detail("owner", reference.owner.as_str())
            .detail("purpose", reference.purpose.as_str());
        self.audit.intend(caller, entry).await
    }

    async fn still_there(&self, tx: &mut Tx, subject: &Subject) -> Result<(), Error> {
        match subject {
            Subject::Server(id) => find::server_in(tx, id).await.map(drop),
            Subject::Credential(id) => find::credential_in(tx, id).await.map(drop),
        }
    }

    async fn changed(&self, tx: &mut Tx, subject: &Subject) -> Result<(), Error> {
        match subject {
            Subject::Server(id) => Ok(store::server::touch(tx, id).await?),
            Subject::Credential(id) => Ok(store::credential::usage_changed(tx, id).await?),
        }
    }
}

fn parse(held: Held) -> Result<(Subject, Reference), Failure> {
    let subject = match (held.server_id.as_str(), held.credential_id.as_str()) {
        (id, "") if !id.is_empty() => Subject::Server(ServerId::parse(id).map_err(|_| find::no_server(id))?),
        ("", id) if !id.is_empty() => {
            Subject::Credential(CredentialId::parse(id).map_err(|_| find::no_credential(id))?)
        }
        _ => return Err(Failure::violation("serverId", "or credentialId must be given, and not both")),
    };
    let reference = Reference {
        owner: text::name("owner", &held.owner)?,
        purpose: text::name("purpose", &held.purpose)?,
    };
    Ok((subject, reference))
}
