//! The end of a tenant: nobody comes in any more, every access ends on every host, Keywright's own keys leave the
//! tenant's servers, what is kept is written down, and all that credential-store has of it is deleted.
//!
//! | file | |
//! |---|---|
//! | `drive` | from the top each time, as far as it goes |
//! | `export` | what is kept |
//!
//! Invariant: nothing is deleted before every host has refused every key of the tenant's accesses; what cannot be reached
//! is waited for, and named.

mod drive;
mod export;

use crate::adapters::audit::AuditLog;
use crate::adapters::credential_store::CredentialStore;
use crate::app::revoke_access::RevokeAccess;
use crate::release::Releaser;
use keywright_storage::Db;

#[derive(Clone)]
pub struct Offboarder {
    pub db: Db,
    pub store: CredentialStore,
    pub log: AuditLog,
    pub revoke: RevokeAccess,
    pub releaser: Releaser,
}
