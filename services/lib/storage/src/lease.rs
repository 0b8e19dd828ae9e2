//! Leases on named work: any replica may take it, one holds it at a time, and each holder has a higher fence.

use crate::{Columns, Db, Error, Tx};
use keywright_domain::clock::Instant;
use std::time::Duration;
use tokio::time::Instant as Started;

/// A held lease. The fence goes into everything that the holder does outside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub work: String,
    pub owner: String,
    pub fence: i64,
}

/// A lease that has more than so many times the asked span left was taken before the clock went back: it ends now, not when
/// that clock would have come round again. Its holder, if he lives, is fenced.
const TOO_LONG: u32 = 3;

/// No lease of about this span that was taken by a clock like this one lasts for longer.
pub fn latest(now: Instant, span: Duration) -> Instant {
    now.plus(span.saturating_mul(TOO_LONG))
}

/// Takes the lease on `work` for `span` if nobody holds it.
pub async fn acquire(db: &Db, work: &str, owner: &str, span: Duration) -> Result<Option<Lease>, Error> {
    let mut tx = db.begin_claim().await?;
    let now = tx.now();
    let row = sqlx::query(
        "INSERT INTO lease (id, owner, lease_until, fence) VALUES ($1, $2, $3, 1)
         ON CONFLICT (id) DO UPDATE SET owner = $2, lease_until = $3, fence = lease.fence + 1
           WHERE lease.lease_until < $4 OR lease.lease_until > $5
      RETURNING fence",
    )
    .bind(work)
    .bind(owner)
    .bind(now.plus(span).micros())
    .bind(now.micros())
    .bind(latest(now, span).micros())
    .fetch_optional(tx.conn())
    .await?;
    tx.commit().await?;
    row.map(|row| Ok(Lease { work: work.to_owned(), owner: owner.to_owned(), fence: row.int("fence")? }))
        .transpose()
}

/// Prolongs a held lease; false when another has taken it, after which its holder must stop.
pub async fn renew(db: &Db, lease: &Lease, span: Duration) -> Result<bool, Error> {
    let mut tx = db.begin_claim().await?;
    let until = tx.now().plus(span).micros();
    let done = sqlx::query("UPDATE lease SET lease_until = $4 WHERE id = $1 AND owner = $2 AND fence = $3")
        .bind(&lease.work)
        .bind(&lease.owner)
        .bind(lease.fence)
        .bind(until)
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// Prolongs a held lease every `every`, and ends when it is lost. A database that is slow for a moment ends nothing: what
/// comes late is fenced.
pub async fn lost(db: &Db, lease: &Lease, span: Duration, every: Duration) {
    let mut good = Started::now();
    loop {
        tokio::time::sleep(every).await;
        match renew(db, lease, span).await {
            Ok(true) => good = Started::now(),
            Ok(false) => return,
            Err(_) if good.elapsed() < span => {}
            Err(_) => return,
        }
    }
}

/// Whether nobody else has taken the lease, within a transaction that its holder writes in: one that was held up and
/// comes late writes nothing.
pub async fn holds(tx: &mut Tx, lease: &Lease) -> Result<bool, Error> {
    let row = sqlx::query("SELECT fence FROM lease WHERE id = $1 AND owner = $2 AND fence = $3")
        .bind(&lease.work)
        .bind(&lease.owner)
        .bind(lease.fence)
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.is_some())
}

/// Gives a lease back; the row stays, so that fences only grow.
pub async fn release(db: &Db, lease: &Lease) -> Result<(), Error> {
    let mut tx = db.begin_claim().await?;
    sqlx::query("UPDATE lease SET lease_until = 0 WHERE id = $1 AND owner = $2 AND fence = $3")
        .bind(&lease.work)
        .bind(&lease.owner)
        .bind(lease.fence)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}
