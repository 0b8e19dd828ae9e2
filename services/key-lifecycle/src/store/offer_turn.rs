//! When a server may next be offered a key that it is to refuse.

use super::Connection;
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_storage::{Columns, Error, Tx};

pub async fn find(conn: &mut Connection, server: &ServerId) -> Result<Option<Instant>, Error> {
    let row = sqlx::query("SELECT next_at FROM offer_turn WHERE server_id = $1")
        .bind(server.as_str())
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.int("next_at")).transpose()
}

pub async fn set(tx: &mut Tx, server: &ServerId, next_at: Instant) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO offer_turn (server_id, next_at) VALUES ($1, $2)
         ON CONFLICT (server_id) DO UPDATE SET next_at = $2",
    )
    .bind(server.as_str())
    .bind(next_at.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}
