//! Changes what is said of a tenant: what is absent stays.

use super::create::id_taken;
use crate::domain::tenant::{Particulars, Tenant};
use crate::store::tenant;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{TenantId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use std::collections::BTreeMap;
use tracing::instrument;

const ACTION: &str = "tenant.update";

pub struct UpdateTenant {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

/// As it was asked for.
pub struct Change {
    pub tenant_id: String,
    pub name: Option<String>,
    /// Empty text removes it.
    pub external_id: Option<String>,
    pub time_zone: Option<String>,
    pub contacts: Vec<String>,
    pub clear_contacts: bool,
    pub labels: BTreeMap<String, String>,
    pub clear_labels: bool,
    /// Empty: whatever it is now.
    pub expected_revision: String,
}

/// The same, well-formed; none: stays.
struct Parsed {
    name: Option<String>,
    external_id: Option<Option<String>>,
    time_zone: Option<String>,
    contacts: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

impl UpdateTenant {
    #[instrument(skip_all, fields(tenant = shown(&change.tenant_id)))]
    pub async fn run(&self, caller: &Caller, change: Change) -> Result<Tenant, Failure> {
        let asked = change.tenant_id.clone();
        let missing = || Failure::not_found(Reason::TenantNotFound, &asked);
        let id = TenantId::parse(&asked).map_err(|_| missing())?;
        self.guard.allow(caller, ACTION, Some(&id), &asked, Reason::TenantNotFound).await?;
        let expected = change.expected_revision.clone();
        let parsed = parse(change)?;
        let entry = Entry::new(ACTION).tenant(Some(&id)).target(id.as_str());
        let intent = self.audit.intend(caller, entry.detail("fields", parsed.fields())).await?;
        let updated: Result<Tenant, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let before = tenant::find_in(&mut tx, &id).await?.ok_or_else(missing)?;
                if !expected.is_empty() && expected != before.revision.to_string() {
                    let failure = Failure::new(Reason::RevisionMismatch, "The tenant has changed since.");
                    return Err(failure.with("revision", before.revision.to_string()).into());
                }
                let said = parsed.over(&before.particulars);
                if said != before.particulars {
                    tenant::update(&mut tx, &id, &said).await?;
                }
                let after = tenant::find_in(&mut tx, &id).await?.ok_or_else(missing)?;
                intent
                    .done(&mut tx, Outcome::succeeded().with("revision", after.revision.to_string()))
                    .await?;
                tx.commit().await?;
                Ok(after)
            })
            .await;
        let result = updated.map_err(|error| id_taken(error.into_failure()));
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}

impl Parsed {
    fn over(&self, before: &Particulars) -> Particulars {
        let Particulars { name, external_id, time_zone, contacts, labels } = before.clone();
        Particulars {
            name: self.name.clone().unwrap_or(name),
            external_id: self.external_id.clone().unwrap_or(external_id),
            time_zone: self.time_zone.clone().unwrap_or(time_zone),
            contacts: self.contacts.clone().unwrap_or(contacts),
            labels: self.labels.clone().unwrap_or(labels),
        }
    }

    /// The names of what is to change, for the log.
    fn fields(&self) -> String {
        let given = [
            ("name", self.name.is_some()),
            ("externalId", self.external_id.is_some()),
            ("timeZone", self.time_zone.is_some()),
            ("contacts", self.contacts.is_some()),
            ("labels", self.labels.is_some()),
        ];
        let given = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
        given.collect::<Vec<_>>().join(" ")
    }
}

fn parse(change: Change) -> Result<Parsed, Failure> {
    if change.clear_contacts && !change.contacts.is_empty() {
        return Err(Failure::violation("clearContacts", "cannot stand beside contacts"));
    }
    if change.clear_labels && !change.labels.is_empty() {
        return Err(Failure::violation("clearLabels", "cannot stand beside labels"));
    }
    let contacts = Particulars::parse_contacts(change.contacts)?;
    let labels = Particulars::parse_labels(change.labels)?;
    Ok(Parsed {
        name: change.name.as_deref().map(Particulars::parse_name).transpose()?,
        external_id: change.external_id.as_deref().map(Particulars::parse_external_id).transpose()?,
        time_zone: change.time_zone.as_deref().map(Particulars::parse_time_zone).transpose()?,
        contacts: (change.clear_contacts || !contacts.is_empty()).then_some(contacts),
        labels: (change.clear_labels || !labels.is_empty()).then_some(labels),
    })
}
