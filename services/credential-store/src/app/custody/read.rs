//! Reads a managed credential with its versions.

use crate::app::find;
use crate::domain::credential::Credential;
use crate::domain::version::Version;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;

pub struct ReadManaged {
    pub db: Db,
    pub guard: Guard,
}

impl ReadManaged {
    /// Versions newest first.
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<(Credential, Vec<Version>), Failure> {
        let credential = find::managed(&self.db, &self.guard, caller, "custody.read", id).await?;
        let versions = store::version::list(&self.db, &credential.id).await?;
        Ok((credential, versions))
    }
}
