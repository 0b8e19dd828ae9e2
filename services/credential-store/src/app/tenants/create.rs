//! Creates a tenant.

use crate::domain::text::name;
use crate::store::tenant::{self, Tenant};
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::idempotency::{Answer, keep, replay};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Outcome};

pub struct CreateTenant {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

pub struct NewTenant {
    pub name: String,
    pub external_id: String,
    pub time_zone: String,
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
        let (name, external_id, time_zone) = parse(new)?;
        let id = TenantId::random()?;
        let entry =
            Entry::new("tenant.create").tenant(Some(&id)).target(id.as_str()).detail("name", name.as_str());
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
                    external_id: external_id.clone(),
                    name: name.clone(),
                    time_zone: time_zone.clone(),
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
        let result = result.map_err(|error| match error.into_failure() {
            failure if failure.is(Reason::AlreadyExists) => {
                Failure::new(Reason::AlreadyExists, "A tenant with this external id exists already.")
            }
            failure => failure,
        });
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}

fn parse(new: NewTenant) -> Result<(String, Option<String>, String), Failure> {
    let name = name("name", &new.name)?;
    let external_id = match new.external_id.trim() {
        "" => None,
        id if id.chars().count() <= 100 => Some(id.to_owned()),
        _ => return Err(Failure::violation("externalId", "must have at most 100 characters")),
    };
    let time_zone = match new.time_zone.trim() {
        "" => "UTC".to_owned(),
        zone => match jiff::tz::TimeZone::get(zone) {
            Ok(_) => zone.to_owned(),
            Err(_) => {
                return Err(Failure::violation(
                    "timeZone",
                    "must be an IANA time zone, for example Europe/Berlin",
                ));
            }
        },
    };
    Ok((name, external_id, time_zone))
}
