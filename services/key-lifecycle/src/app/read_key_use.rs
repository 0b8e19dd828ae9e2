//! Reads the hosts' logs now.

use super::gates;
use crate::key_use::UseReader;
use crate::model::{KeyUse, Version};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
use keywright_storage::{Db, Outcome};
use tracing::instrument;

#[derive(Clone)]
pub struct ReadKeyUse {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub uses: UseReader,
}

impl ReadKeyUse {
    #[instrument(skip_all, fields(access = shown(access)))]
    pub async fn run(
        &self,
        caller: &Caller,
        tenant: &str,
        access: &str,
    ) -> Result<(Vec<KeyUse>, Vec<Version>), Failure> {
        let (tenant, id) = gates::tenant_and_access(tenant, access)?;
        self.guard
            .allow(caller, "access.read_use", Some(&tenant), id.as_str(), Reason::AccessNotFound)
            .await?;
        let mut reader = store::reader(&self.db).await?;
        let access = gates::find_usable(&mut reader, &tenant, &id).await?;
        drop(reader);
        let entry = Entry::new("access.read_use").tenant(Some(&tenant)).target(id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.uses.read(&access).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        let found = result?;
        self.audit.settle(&self.db, &intent, Outcome::succeeded()).await?;
        let mut reader = store::reader(&self.db).await?;
        let versions = store::version::of(&mut reader, &id).await?;
        Ok((found, versions))
    }
}
