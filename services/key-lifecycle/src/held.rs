//! A lease around something that is done outside of the worker, by a request or by a loop of its own; and the fence of
//! whatever is done under one.

use crate::worker;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::lease::{self, Lease};
use keywright_storage::{Db, Tx};
use std::time::Duration;

/// How long a lease lasts without a renewal, and how often it is renewed.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub lease: Duration,
    pub renew: Duration,
}

/// The worker's.
pub const SHORT: Span = Span { lease: worker::LEASE, renew: worker::RENEW };

/// None where somebody else holds it, or took it over meanwhile: then he goes on.
pub async fn held<T>(
    db: &Db,
    work: &str,
    owner: &str,
    span: Span,
    doing: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    let Some(lease) = lease::acquire(db, work, owner, span.lease).await? else { return Ok(None) };
    let lost = async {
        loop {
            tokio::time::sleep(span.renew).await;
            if !matches!(lease::renew(db, &lease, span.lease).await, Ok(true)) {
                return;
            }
        }
    };
    let done = tokio::select! {
        done = doing => done.map(Some),
        () = lost => return Ok(None),
    };
    lease::release(db, &lease).await?;
    done
}

/// In the transaction that records: what was seen before another process took the work over is older than what that has
/// recorded. REVISION_MISMATCH then; without a lease there is nobody else.
pub async fn refuse_if_lost(tx: &mut Tx, lease: Option<&Lease>) -> Result<(), Error> {
    match lease {
        Some(lease) if !lease::holds(tx, lease).await? => {
            let taken = "Another process has taken this work over.";
            Err(Failure::new(Reason::RevisionMismatch, taken).into())
        }
        _ => Ok(()),
    }
}
