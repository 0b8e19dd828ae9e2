//! A lease around something that a request does itself.

use crate::worker::{LEASE, RENEW};
use keywright_runtime::failure::Failure;
use keywright_storage::{Db, lease};

/// None where somebody else holds it, or took it over meanwhile: then he goes on.
pub async fn held<T>(
    db: &Db,
    work: &str,
    owner: &str,
    doing: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    let Some(lease) = lease::acquire(db, work, owner, LEASE).await? else { return Ok(None) };
    let lost = async {
        loop {
            tokio::time::sleep(RENEW).await;
            if !matches!(lease::renew(db, &lease, LEASE).await, Ok(true)) {
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
