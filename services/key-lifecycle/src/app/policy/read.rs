//! Reads the policy of the platform, of a tenant or of an access.

use super::Subject;
use crate::adapters::credential_store::CredentialStore;
use crate::app::gates;
use crate::model::{Effective, Policy};
use crate::store::{self, Connection};
use keywright_domain::caller::{Caller, Role};
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use tracing::instrument;

#[derive(Clone)]
pub struct ReadPolicy {
    pub db: Db,
    pub guard: Guard,
    pub store: CredentialStore,
}

/// What a level says by itself, and what holds.
#[derive(Debug)]
pub struct PolicyView {
    /// None if it never said anything.
    pub policy: Option<Policy>,
    pub effective: Effective,
}

impl ReadPolicy {
    #[instrument(skip_all, fields(subject = subject.target()))]
    pub async fn run(&self, caller: &Caller, subject: &Subject) -> Result<PolicyView, Failure> {
        let tenant = subject.tenant();
        self.guard.allow(caller, "policy.read", tenant, subject.target(), subject.missing()).await?;
        if let (Subject::Tenant(tenant), Role::Operator) = (subject, caller.principal.role) {
            self.store.require_tenant(caller, tenant).await?;
        }
        let mut reader = store::reader(&self.db).await?;
        if let Subject::Access(tenant, access) = subject {
            gates::find(&mut reader, tenant, access).await?;
        }
        Ok(load(&mut reader, subject).await?)
    }
}

pub(super) async fn load(conn: &mut Connection, subject: &Subject) -> Result<PolicyView, Error> {
    let (tenant, access) = (subject.tenant(), subject.access());
    Ok(PolicyView {
        policy: store::policy::find(conn, tenant, access).await?,
        effective: store::policy::holds(conn, tenant, access).await?,
    })
}
