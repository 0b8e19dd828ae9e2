//! Whether anything new is done for a tenant: the one place that says TENANT_SUSPENDED.

use crate::domain::tenant::State;
use crate::store::tenant;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Tx};

/// New work may begin for the tenant, as this transaction sees it. What ends (a revocation, a grace end, a removal)
/// does not ask.
pub async fn require(tx: &mut Tx, id: &TenantId) -> Result<(), Error> {
    match tenant::state_in(tx, id).await? {
        Some(State::Active) => Ok(()),
        Some(State::Suspended) => Err(suspended().into()),
        _ => Err(Failure::not_found(Reason::TenantNotFound, id.as_str()).into()),
    }
}

/// Whoever holds a role in the tenant may come in. One whose tenant is deleted holds nothing any more.
pub async fn admit(db: &Db, id: Option<&TenantId>) -> Result<(), Failure> {
    let Some(id) = id else { return Ok(()) };
    match tenant::state(db, id).await? {
        Some(State::Active) => Ok(()),
        Some(State::Suspended) => Err(suspended()),
        _ => Err(Failure::new(Reason::Unauthenticated, "The token is missing, unknown, expired or revoked.")),
    }
}

/// The tenant of an object with which something new is to be done without a change of the store.
pub async fn check(db: &Db, id: Option<&TenantId>) -> Result<(), Failure> {
    let Some(id) = id else { return Ok(()) };
    match tenant::state(db, id).await? {
        Some(State::Suspended) => Err(suspended()),
        _ => Ok(()),
    }
}

fn suspended() -> Failure {
    Failure::new(Reason::TenantSuspended, "The tenant is suspended: nothing new is done for it.")
}
