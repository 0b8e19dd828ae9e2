//! Creates a managed credential, which gets its versions one by one.

use crate::domain::credential::{Credential, Kind};
use crate::domain::text;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, CredentialId, ManagementId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

const ACTION: &str = "custody.create";

pub struct CreateManaged {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

pub struct NewManaged {
    pub credential_id: String,
    /// Empty: the platform's own.
    pub tenant_id: String,
    pub name: String,
    pub owner: String,
}

impl CreateManaged {
    #[instrument(skip_all, fields(credential = shown(&new.credential_id)))]
    pub async fn run(&self, caller: &Caller, new: NewManaged) -> Result<(), Failure> {
        let tenant = match new.tenant_id.as_str() {
            "" => None,
            text => {
                Some(TenantId::parse(text).map_err(|_| Failure::not_found(Reason::TenantNotFound, text))?)
            }
        };
        self.guard.allow(caller, ACTION, tenant.as_ref(), &new.credential_id, Reason::TenantNotFound).await?;
        let id = CredentialId::parse(&new.credential_id)
            .map_err(|_| Failure::violation("credentialId", "must be an id of a credential"))?;
        let (name, owner) = (text::name("name", &new.name)?, owner(&new.owner)?);
        let intent =
            self.audit.intend(caller, Entry::new(ACTION).tenant(tenant.as_ref()).target(id.as_str())).await?;
        let result: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                match store::credential::find_in(&mut tx, &id).await? {
                    Some(there)
                        if there.kind == Kind::Managed
                            && there.tenant == tenant
                            && there.owner == Some(owner.clone()) => {}
                    Some(_) => {
                        return Err(
                            Failure::new(Reason::AlreadyExists, "The id is another credential's.").into()
                        );
                    }
                    None => {
                        if let Some(tenant) = &tenant
                            && store::tenant::state_in(&mut tx, tenant).await?.is_none()
                        {
                            return Err(Failure::not_found(Reason::TenantNotFound, tenant.as_str()).into());
                        }
                        let credential = Credential {
                            id: id.clone(),
                            tenant: tenant.clone(),
                            name: name.clone(),
                            kind: Kind::Managed,
                            username: None,
                            certificate: None,
                            owner: Some(owner.clone()),
                            current: None,
                            usage_changes: 0,
                            allow_resolve: false,
                            revision: 1,
                            created_at: tx.now(),
                            rotated_at: None,
                            last_used_at: None,
                        };
                        store::credential::insert(&mut tx, &credential).await?;
                    }
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}

fn owner(text: &str) -> Result<String, Failure> {
    let known =
        AccessId::parse(text).is_ok() || ServerId::parse(text).is_ok() || ManagementId::parse(text).is_ok();
    if known {
        Ok(text.to_owned())
    } else {
        Err(Failure::violation("owner", "must be an id of an access or a server"))
    }
}
