//! Changes what is not the key: the name, the certificate, and whether internal services may be given the key.

use super::certificate;
use crate::app::find;
use crate::domain::credential::Credential;
use crate::domain::text;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{CredentialId, shown};
use keywright_domain::key::Certificate;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

pub const ACTION: &str = "credential.update";

pub struct UpdateCredential {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

/// None: it stays as it is.
pub struct Change {
    pub credential_id: String,
    pub name: Option<String>,
    pub allow_resolve: Option<bool>,
    /// Empty text: there shall be none.
    pub certificate: Option<String>,
    /// Empty: not stated.
    pub expected_revision: String,
}

impl UpdateCredential {
    #[instrument(skip_all, fields(credential = shown(&change.credential_id)))]
    pub async fn run(&self, caller: &Caller, mut change: Change) -> Result<Credential, Failure> {
        let credential = find::saved(&self.db, &self.guard, caller, ACTION, &change.credential_id).await?;
        change.name = change.name.map(|given| text::name("name", &given)).transpose()?;
        if change.name.is_none() && change.allow_resolve.is_none() && change.certificate.is_none() {
            return Err(Failure::violation("name", "or certificate or allowResolve has to be given"));
        }
        let certificate = change.certificate.as_deref().map(certificate::parse).transpose()?;
        let mut entry = Entry::new(ACTION).tenant(credential.tenant.as_ref()).target(credential.id.as_str());
        if let Some(name) = &change.name {
            entry = entry.detail("name", name.as_str());
        }
        if let Some(allow) = change.allow_resolve {
            entry = entry.detail("allowResolve", allow.to_string());
        }
        if let Some(given) = &certificate {
            let serial = given.as_ref().map_or("none".to_owned(), |given| given.serial().to_string());
            entry = entry.detail("certificate", serial);
        }
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.update(&credential.id, &change, certificate.as_ref(), &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn update(
        &self,
        id: &CredentialId,
        change: &Change,
        certificate: Option<&Option<Certificate>>,
        intent: &Intent,
    ) -> Result<Credential, Failure> {
        let updated: Result<Credential, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                let mut credential = find::credential_in(&mut tx, id).await?;
                let expected = change.expected_revision.as_str();
                if !expected.is_empty() && expected != credential.revision.to_string() {
                    let changed = "The credential has changed since it was read.";
                    return Err(Failure::new(Reason::RevisionMismatch, changed).into());
                }
                let wanted = Credential {
                    name: change.name.clone().unwrap_or_else(|| credential.name.clone()),
                    allow_resolve: change.allow_resolve.unwrap_or(credential.allow_resolve),
                    certificate: certificate.cloned().unwrap_or_else(|| credential.certificate.clone()),
                    ..credential.clone()
                };
                if let Some(current) = &credential.current {
                    certificate::require_of(&current.public, wanted.certificate.as_ref())?;
                }
                // Said a second time, it changes nothing, and neither does the revision.
                if wanted != credential {
                    store::credential::update(&mut tx, &wanted).await?;
                    credential = find::credential_in(&mut tx, id).await?;
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(credential)
            })
            .await;
        Ok(updated?)
    }
}
