//! key-lifecycle: tenants' SSH access, rotations, revocations, management keys; the service that edits hosts.
//!
//! | room | |
//! |---|---|
//! | `api` | the contract: decode, ask, encode |
//! | `app` | one use case per file |
//! | `model` | what is remembered |
//! | `rotation` | plan (pure) and drive; what a host should hold |
//! | `revocation` | until every host has refused every revoked key |
//! | `notify` | who is told of what happened, until he was |
//! | `krl` | revocation lists of server groups, and the files of hosts that hold one |
//! | `campaign` | rotations of many accesses: plan (pure), select and drive |
//! | `recovery` | after a restore, until an operator has seen what the hosts have |
//! | `management` | Keywright's own keys: one replaces another |
//! | `offboarding` | the end of a tenant |
//! | `refusals` | offers of keys that a host is to refuse, with time between them |
//! | `release` | a server leaves: what is to be proven, removed, let go of |
//! | `schedule` | what happens to keys because of their age |
//! | `drift` | who can get into a server; our lines as they should be |
//! | `key_use` | when and from where a key was last used |
//! | `metrics` | what is measured |
//! | `worker` | what the service does by itself |
//! | `held` | a lease around what is done outside of the worker |
//! | `custody` | what credential-store is told of versions, until it knows |
//! | `store` | SQL |
//! | `adapters` | credential-store and connectivity-probe as peers, hosts over SSH |
//!
//! Invariants: no private key is ever here; a host is touched only under a recorded work; before a promotion a failure
//! leads back, after it only forward; a revocation wins.

mod adapters;
mod api;
mod app;
mod build;
mod campaign;
mod custody;
mod drift;
mod held;
mod key_use;
mod krl;
mod management;
mod metrics;
mod model;
mod notify;
mod offboarding;
mod recovery;
mod refusals;
mod release;
mod revocation;
mod rotation;
mod schedule;
mod store;
mod worker;

pub use adapters::mail::{MailError, MailSettings, Mailer};
pub use build::{Parts, Telling, build};
pub use notify::signature::Keyring;
pub use recovery::enter as enter_recovery;
pub use refusals::SPACING as REFUSAL_SPACING;

/// A complete backup began then: keys that wait for it may go.
pub async fn record_backup(
    db: &keywright_storage::Db,
    taken_at: keywright_domain::clock::Instant,
) -> Result<(), keywright_storage::Error> {
    db.serialized(|| async {
        let mut tx = db.begin_internal("a backup was taken").await?;
        store::backup::record(&mut tx, taken_at).await?;
        tx.commit().await
    })
    .await
}

/// The service's own tables; open its database (named `lifecycle`) with them.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

#[cfg(test)]
mod tests;
