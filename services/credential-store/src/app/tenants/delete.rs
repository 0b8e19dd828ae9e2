//! Deletes a tenant that has nothing left: no server, no saved credential, no SSH access (whose managed credentials are
//! here too). Its tokens and invitations end with it.

use crate::app::find;
use crate::store::tenant::Belongings;
use crate::store::{invitation, tenant, token};
use keywright_domain::caller::Caller;
use keywright_domain::ids::{TenantId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

const ACTION: &str = "tenant.delete";

pub struct DeleteTenant {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl DeleteTenant {
    #[instrument(skip_all, fields(tenant = shown(id)))]
    pub async fn run(&self, caller: &Caller, id: &str, confirmation: &str) -> Result<(), Failure> {
        let missing = || Failure::not_found(Reason::TenantNotFound, id);
        let parsed = TenantId::parse(id).map_err(|_| missing())?;
        self.guard.allow(caller, ACTION, Some(&parsed), id, Reason::TenantNotFound).await?;
        if tenant::state(&self.db, &parsed).await?.is_none() {
            return Err(missing());
        }
        find::confirmed(confirmation, id)?;
        let intent = self.audit.intend(caller, Entry::new(ACTION).tenant(Some(&parsed)).target(id)).await?;
        let deleted: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let before = tenant::find_in(&mut tx, &parsed).await?.ok_or_else(missing)?;
                refuse_used(&tenant::belongings(&mut tx, &parsed).await?)?;
                invitation::withdraw_all(&mut tx, &parsed).await?;
                token::revoke_tenant(&mut tx, &parsed).await?;
                tenant::delete(&mut tx, &parsed).await?;
                let outcome = Outcome::succeeded().with("name", before.particulars.name.as_str());
                let external_id = before.particulars.external_id.unwrap_or_default();
                intent.done(&mut tx, outcome.with("externalId", external_id)).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = deleted.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}

fn refuse_used(left: &Belongings) -> Result<(), Failure> {
    let Belongings { servers, credentials, accesses } = *left;
    if servers == 0 && credentials == 0 && accesses == 0 {
        return Ok(());
    }
    let message = format!(
        "The tenant still has {servers} servers, {credentials} saved credentials and {accesses} SSH accesses."
    );
    Err(Failure::new(Reason::TenantInUse, message)
        .with("totalServers", servers.to_string())
        .with("totalCredentials", credentials.to_string())
        .with("totalAccesses", accesses.to_string()))
}
