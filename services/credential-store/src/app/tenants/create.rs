//! Creates a tenant.

use crate::domain::tenant::{Particulars, State, Tenant};
use crate::store::tenant;
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::idempotency::{Answer, keep, replay};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Outcome};
use std::collections::BTreeMap;

pub struct CreateTenant {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

pub struct NewTenant {
    pub name: String,
    pub external_id: String,
    pub time_zone: String,
    pub contacts: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

impl CreateTenant {
    /// `answer` encodes the tenant for the replay of the same request.
    pub async fn run<T, A>(
        &self,
        caller: &Caller,
        new: NewTenant,
        scope: Option<Scope>,
        answer: A,
    ) -> Result<T, Failure>
    where
        T: Answer,
        A: Fn(Tenant) -> T,
    {
        self.guard.allow(caller, "tenant.create", None, "", Reason::TenantNotFound).await?;
        let said = parse(new)?;
        let id = TenantId::random()?;
        let entry = Entry::new("tenant.create")
            .tenant(Some(&id))
            .target(id.as_str())
            .detail("name", said.name.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result: Result<T, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if let Some(first) = replay(&mut tx, scope.as_ref()).await? {
                    intent.done(&mut tx, Outcome::succeeded().with("replayed", "true")).await?;
                    tx.commit().await?;
                    return Ok(first);
                }
                let created = Tenant {
                    id: id.clone(),
                    particulars: said.clone(),
                    state: State::Active,
                    revision: 1,
                    created_at: tx.now(),
                };
                tenant::insert(&mut tx, &created).await?;
                let answer = answer(created);
                keep(&mut tx, scope.as_ref(), &answer).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(answer)
            })
            .await;
        let result = result.map_err(|error| id_taken(error.into_failure()));
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}

pub(super) fn id_taken(failure: Failure) -> Failure {
    if failure.is(Reason::AlreadyExists) {
        return Failure::new(Reason::AlreadyExists, "A tenant with this external id exists already.");
    }
    failure
}

fn parse(new: NewTenant) -> Result<Particulars, Failure> {
    Ok(Particulars {
        name: Particulars::parse_name(&new.name)?,
        external_id: Particulars::parse_external_id(&new.external_id)?,
        time_zone: Particulars::parse_time_zone(&new.time_zone)?,
        contacts: Particulars::parse_contacts(new.contacts)?,
        labels: Particulars::parse_labels(new.labels)?,
    })
}
