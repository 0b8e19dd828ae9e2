//! When complete backups of the installation began.

use super::Connection;
use keywright_domain::clock::Instant;
use keywright_storage::{Columns, Error, Tx};

/// Keys that wait for a backup are looked at again.
pub async fn record(tx: &mut Tx, taken_at: Instant) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO backup (taken_at, recorded_at) VALUES ($1, $2) ON CONFLICT (taken_at) DO NOTHING",
    )
    .bind(taken_at.micros())
    .bind(now)
    .execute(tx.conn())
    .await?;
    sqlx::query(
        "UPDATE management SET next_at = $2 WHERE replaced_at < $1 AND removed_at IS NULL AND next_at > $2",
    )
    .bind(taken_at.micros())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The newest, if there is one.
pub async fn last(conn: &mut Connection) -> Result<Option<Instant>, Error> {
    let row = sqlx::query("SELECT taken_at FROM backup ORDER BY taken_at DESC LIMIT 1")
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.int("taken_at")).transpose()
}
