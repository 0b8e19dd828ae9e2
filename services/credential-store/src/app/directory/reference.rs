//! Takes and drops references on servers and credentials: what somebody holds cannot be deleted.
//!
//! Invariant: an internal service drops what was taken under its own name alone, and never in the place of an access or
//! a server. Its name, not its token, is what holds: a token lasts a day, a reference as long as it is needed.

use crate::app::find;
use crate::domain::text;
use crate::domain::usage::Reference;
use crate::store;
use keywright_domain::caller::{Caller, Role};
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, ID_CHARS, ServerId, TenantId};
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
        self.allow(caller, &subject, tenant.as_ref()).await?;
        let holder = self.holder(caller, &reference).await?;
        let intent = self.intend(caller, &subject, tenant.as_ref(), &reference, "add").await?;
        let added: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                self.still_there(&mut tx, &subject).await?;
                own(&mut tx, &subject, &reference, &holder).await?;
                if store::usage::add_reference(&mut tx, subject.as_str(), &reference).await? {
                    store::reference::set_holder(&mut tx, subject.as_str(), &reference, &holder).await?;
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
        if let Err(refused) = self.allow(caller, &subject, tenant.as_ref()).await {
            // Another tenant's looks like what is gone.
            return if refused.is(subject.missing().reason) { Ok(()) } else { Err(refused) };
        }
        let holder = self.holder(caller, &reference).await?;
        let intent = self.intend(caller, &subject, tenant.as_ref(), &reference, "remove").await?;
        let removed: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                own(&mut tx, &subject, &reference, &holder).await?;
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

    async fn allow(
        &self,
        caller: &Caller,
        subject: &Subject,
        tenant: Option<&TenantId>,
    ) -> Result<(), Failure> {
        let missing = subject.missing().reason;
        self.guard.allow(caller, ACTION, tenant, subject.as_str(), missing).await
    }

    /// Under which name the caller holds: empty for Keywright's own services, which go by the ids of their objects.
    async fn holder(&self, caller: &Caller, reference: &Reference) -> Result<String, Failure> {
        if caller.acting.is_some() || caller.principal.role != Role::InternalService {
            return Ok(String::new());
        }
        if is_id(&reference.owner) {
            return Err(Failure::violation("owner", "must be a name of your own, not an id of Keywright's"));
        }
        let name = store::reference::name_of(&self.db, &caller.principal.id).await?;
        let name = name.ok_or_else(|| Failure::new(Reason::PermissionDenied, "Your service has no name."))?;
        Ok(format!("{}/{name}", caller.principal.tenant.as_ref().map_or("platform", TenantId::as_str)))
    }

    async fn intend(
        &self,
        caller: &Caller,
        subject: &Subject,
        tenant: Option<&TenantId>,
        reference: &Reference,
        change: &str,
    ) -> Result<Intent, Failure> {
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

/// Refuses where somebody else holds under the same owner and purpose.
async fn own(tx: &mut Tx, subject: &Subject, reference: &Reference, holder: &str) -> Result<(), Error> {
    match store::reference::holder(tx, subject.as_str(), reference).await? {
        Some(other) if other != holder => {
            Err(Failure::violation("owner", "is in use by another service; choose a name of your own").into())
        }
        _ => Ok(()),
    }
}

/// Whatever has the form of an id: a word, an underscore, 26 characters of base32.
fn is_id(text: &str) -> bool {
    let base32 = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
    text.split_once('_').is_some_and(|(_, rest)| rest.len() == ID_CHARS && rest.bytes().all(base32))
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
