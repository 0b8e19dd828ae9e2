//! The recorded steps of rotations: rows of one table.

use super::Connection;
use crate::model::{Step, StepName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, RotationId, ServerId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, rotation: &RotationId, steps: &[Step]) -> Result<(), Error> {
    for step in steps {
        sqlx::query(
            "INSERT INTO rotation_step (rotation_id, position, name, server_id, state, reason, message, attempts,
                                        undo_attempts, not_before)
             VALUES ($1, $2, $3, $4, $5, '', '', 0, 0, 0)",
        )
        .bind(rotation.as_str())
        .bind(step.position)
        .bind(step.name.as_str())
        .bind(step.server.as_ref().map_or("", ServerId::as_str))
        .bind(step.state.as_str())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

pub async fn update(tx: &mut Tx, rotation: &RotationId, step: &Step) -> Result<(), Error> {
    sqlx::query(
        "UPDATE rotation_step SET state = $3, started_at = $4, finished_at = $5, reason = $6, message = $7, attempts = $8,
                undo_attempts = $9, not_before = $10, unreached = $11
          WHERE rotation_id = $1 AND position = $2",
    )
    .bind(rotation.as_str())
    .bind(step.position)
    .bind(step.state.as_str())
    .bind(step.started_at.map(Instant::micros))
    .bind(step.finished_at.map(Instant::micros))
    .bind(&step.reason)
    .bind(&step.message)
    .bind(i64::from(step.attempts))
    .bind(i64::from(step.undo_attempts))
    .bind(step.not_before.micros())
    .bind(i64::from(step.unreached))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The host leaves the access: whatever was still to be done there for its open rotations is not done any more.
pub async fn give_up_host(tx: &mut Tx, access: &AccessId, server: &ServerId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE rotation_step SET state = 'UNDONE'
          WHERE server_id = $2 AND state <> 'DONE'
            AND rotation_id IN (SELECT id FROM rotation
                                 WHERE access_id = $1 AND kind <> 'REMOVE_HOST' AND promoted_at IS NOT NULL
                                   AND next_at IS NOT NULL)",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A further host has the old key of this rotation: it is to end there too.
pub async fn follow(tx: &mut Tx, rotation: &RotationId, server: &ServerId) -> Result<(), Error> {
    for name in [StepName::ExpireOld, StepName::RemoveOld, StepName::ProveRefused] {
        sqlx::query(
            "INSERT INTO rotation_step (rotation_id, position, name, server_id, state, reason, message, attempts,
                                        undo_attempts, not_before)
             SELECT $1, COALESCE(MAX(position), 0) + 1, $2, $3, 'PENDING', '', '', 0, 0, 0
               FROM rotation_step WHERE rotation_id = $1",
        )
        .bind(rotation.as_str())
        .bind(name.as_str())
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// As it is recorded now.
pub async fn find(
    conn: &mut Connection,
    rotation: &RotationId,
    position: i64,
) -> Result<Option<Step>, Error> {
    let row = sqlx::query(
        "SELECT position, name, server_id, state, started_at, finished_at, reason, message, attempts, undo_attempts,
                not_before, unreached
           FROM rotation_step WHERE rotation_id = $1 AND position = $2",
    )
    .bind(rotation.as_str())
    .bind(position)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(step).transpose()
}

/// To be done once more.
pub async fn reopen(
    tx: &mut Tx,
    rotation: &RotationId,
    name: StepName,
    server: &ServerId,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE rotation_step SET state = 'PENDING' WHERE rotation_id = $1 AND name = $2 AND server_id = $3",
    )
    .bind(rotation.as_str())
    .bind(name.as_str())
    .bind(server.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// In order.
pub async fn of(conn: &mut Connection, rotation: &RotationId) -> Result<Vec<Step>, Error> {
    let rows = sqlx::query(
        "SELECT position, name, server_id, state, started_at, finished_at, reason, message, attempts, undo_attempts,
                not_before, unreached
           FROM rotation_step WHERE rotation_id = $1 ORDER BY position",
    )
    .bind(rotation.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(step).collect()
}

fn step(row: &AnyRow) -> Result<Step, Error> {
    let server: String = row.text("server_id")?;
    let server = (!server.is_empty()).then(|| ServerId::parse(&server)).transpose();
    Ok(Step {
        position: row.int("position")?,
        name: row.text("name")?,
        server: server.map_err(|_| Error::Corrupt("server_id".to_owned()))?,
        state: row.text("state")?,
        started_at: row.opt_int("started_at")?,
        finished_at: row.opt_int("finished_at")?,
        reason: row.text("reason")?,
        message: row.text("message")?,
        attempts: row.int("attempts")?,
        undo_attempts: row.int("undo_attempts")?,
        unreached: row.int("unreached")?,
        not_before: row.int("not_before")?,
    })
}
