//! Reads and lists saved credentials, and who uses them.

use crate::app::find;
use crate::app::listing::Listing;
use crate::domain::credential::Credential;
use crate::domain::usage::{Usage, unavailable};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::CredentialId;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Retriable, Tx};

pub struct ReadCredentials {
    pub db: Db,
    pub guard: Guard,
}

impl ReadCredentials {
    pub async fn get(
        &self,
        caller: &Caller,
        id: &str,
        with_usage: bool,
    ) -> Result<(Credential, Option<Usage>), Failure> {
        let credential = find::saved(&self.db, &self.guard, caller, "credential.read", id).await?;
        let usage = if with_usage { Some(usage(&self.db, &credential.id).await?) } else { None };
        Ok((credential, usage))
    }

    pub async fn usage(&self, caller: &Caller, id: &str) -> Result<Usage, Failure> {
        let credential = find::saved(&self.db, &self.guard, caller, "credential.read", id).await?;
        usage(&self.db, &credential.id).await
    }

    /// The page, and where the next one begins.
    pub async fn list(
        &self,
        caller: &Caller,
        listing: Listing,
    ) -> Result<(Vec<Credential>, String), Failure> {
        let (filter, page) = listing.narrow(&self.guard, caller, "credential.list").await?;
        let rows = store::credential::list_saved(&self.db, &filter, &page).await?;
        Ok(page.cut(rows, |credential| (credential.created_at, credential.id.to_string())))
    }
}

/// Usage that cannot be read is not zero usage.
pub(super) async fn usage(db: &Db, id: &CredentialId) -> Result<Usage, Failure> {
    store::usage::of_credential(db, id).await.map_err(|_| unavailable())
}

/// The same inside the transaction that acts on it.
pub(super) async fn usage_in(tx: &mut Tx, id: &CredentialId) -> Result<Usage, Error> {
    store::usage::of_credential_in(tx, id).await.map_err(|error| match error.again() {
        true => Error::from(error),
        false => unavailable().into(),
    })
}
