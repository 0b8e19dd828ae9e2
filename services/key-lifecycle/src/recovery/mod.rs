//! After a restore: nothing is written to a host before it is known what the hosts have, and an operator has said yes.
//!
//! | file | |
//! |---|---|
//! | `enter` | what a restore writes down: every key that the backup knows, host by host |
//! | `expected` | pure: what the backup makes one expect of each |
//! | `probe` | asks the hosts, by unsigned offers |
//! | `complete` | pure decisions become recorded state, in one transaction |
//! | `settle` | what an operator said yes to, and hosts that could not be asked before |
//!
//! Invariants: while a recovery is active no host is written to and no key is downloaded; a key that is missing on a
//! host, or of which that is not known, is not put there again without an operator's yes.

mod complete;
mod enter;
mod expected;
mod probe;
mod settle;

pub use complete::{Asked, complete};
pub use enter::enter;
pub use probe::Rounds;
pub use settle::Settler;

use crate::store;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;

/// The name under which hosts are asked and edited here; there is one recovery at a time.
pub const WORK: &str = "recovery";

/// RECOVERY_MODE while an operator has not completed the recovery.
pub async fn refuse_while_active(db: &Db) -> Result<(), Failure> {
    let mut reader = store::reader(db).await?;
    Ok(refuse_in(&mut reader).await?)
}

/// The same within a transaction.
pub async fn refuse_in(conn: &mut store::Connection) -> Result<(), Error> {
    match store::recovery::find(conn).await? {
        Some(recovery) if recovery.is_active() => {
            let failure =
                Failure::new(Reason::RecoveryMode, "The installation was restored and is in recovery.");
            Err(failure.with("backupTakenAt", recovery.backup_taken_at.rfc3339()).into())
        }
        _ => Ok(()),
    }
}
