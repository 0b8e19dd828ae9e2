//! A server leaves the product: tenants' keys keep working, Keywright's own is removed and destroyed.
//!
//! | file | |
//! |---|---|
//! | `begin` | what stands in the way; the transaction in which accesses lose the host |
//! | `drive` | takes the line off, destroys the keys, lets go of the server |
//! | `path` | the other way in |
//!
//! Invariants: the line of the management key leaves only in a session of another way in that was just proven, unless the
//! operator leaves it; no tenant's line is touched; from the recorded release on only forward.

mod begin;
mod drive;
mod path;

pub use begin::Asked;
pub use drive::Line;

use crate::adapters::bootstrap::Bootstrapper;
use crate::adapters::credential_store::CredentialStore;
use crate::custody::Custody;
use crate::refusals::Refusals;
use keywright_runtime::audit::Audit;
use keywright_storage::Db;

#[derive(Clone)]
pub struct Releaser {
    pub db: Db,
    pub audit: Audit,
    pub store: CredentialStore,
    pub refusals: Refusals,
    pub custody: Custody,
    pub bootstrapper: Bootstrapper,
    /// Who holds the leases of this process.
    pub owner: String,
}
