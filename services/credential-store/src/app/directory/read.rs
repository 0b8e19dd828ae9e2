//! Servers and credentials as they are now, for connectivity-probe and key-lifecycle.

use crate::app::find;
use crate::domain::credential::Credential;
use crate::domain::server::Server;
use keywright_domain::caller::Caller;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;

const ACTION: &str = "directory.read";

pub struct ReadDirectory {
    pub db: Db,
    pub guard: Guard,
}

impl ReadDirectory {
    pub async fn server(&self, caller: &Caller, id: &str) -> Result<Server, Failure> {
        find::server(&self.db, &self.guard, caller, ACTION, id).await
    }

    /// Saved or managed: the kind is part of the answer.
    pub async fn credential(&self, caller: &Caller, id: &str) -> Result<Credential, Failure> {
        find::credential(&self.db, &self.guard, caller, ACTION, id).await
    }
}
