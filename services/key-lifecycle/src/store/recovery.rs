//! The state after a restore and its lines.

use super::{Connection, read_key};
use crate::model::{Answer, Recovery, RecoveryLine};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// From now on, in place of any restore before.
pub async fn enter(tx: &mut Tx, backup_taken_at: Instant) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("DELETE FROM recovery_line").execute(tx.conn()).await?;
    sqlx::query("DELETE FROM recovery").execute(tx.conn()).await?;
    sqlx::query("INSERT INTO recovery (id, backup_taken_at, restored_at) VALUES ('recovery', $1, $2)")
        .bind(backup_taken_at.micros())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// None if there never was a restore.
pub async fn find(conn: &mut Connection) -> Result<Option<Recovery>, Error> {
    let row = sqlx::query(
        "SELECT backup_taken_at, restored_at, probe_requested_at, probed_at, completed_at FROM recovery
          WHERE id = 'recovery'",
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Recovery {
            backup_taken_at: row.int("backup_taken_at")?,
            restored_at: row.int("restored_at")?,
            probe_requested_at: row.opt_int("probe_requested_at")?,
            probed_at: row.opt_int("probed_at")?,
            completed_at: row.opt_int("completed_at")?,
        })
    })
    .transpose()
}

/// Every host is to be asked again.
pub async fn request_probe(tx: &mut Tx) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE recovery SET probe_requested_at = $1, probed_at = NULL WHERE id = 'recovery'")
        .bind(now)
        .execute(tx.conn())
        .await?;
    sqlx::query("UPDATE recovery_line SET answer = 'UNPROBED', detail = ''").execute(tx.conn()).await?;
    Ok(())
}

/// The round that was asked for then has ended.
pub async fn probed(tx: &mut Tx, requested_at: Instant) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE recovery SET probed_at = $2 WHERE id = 'recovery' AND probe_requested_at = $1")
        .bind(requested_at.micros())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn complete(tx: &mut Tx) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE recovery SET completed_at = $1 WHERE id = 'recovery'")
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn insert(tx: &mut Tx, line: &RecoveryLine) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO recovery_line (id, owner, server_id, account, version_id, number, public_key, recorded_state,
                                    expected, answer, detail, attempts)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)",
    )
    .bind(&line.id)
    .bind(&line.owner)
    .bind(line.server.as_str())
    .bind(line.account.as_str())
    .bind(&line.version_id)
    .bind(i64::from(line.number))
    .bind(line.public_key.openssh())
    .bind(&line.recorded_state)
    .bind(line.expected.as_str())
    .bind(line.answer.as_str())
    .bind(&line.detail)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What the host said.
pub async fn answered(tx: &mut Tx, id: &str, answer: Answer, detail: &str) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE recovery_line SET answer = $2, detail = $3, probed_at = $4 WHERE id = $1")
        .bind(id)
        .bind(answer.as_str())
        .bind(detail)
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn settle(tx: &mut Tx, id: &str) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE recovery_line SET settled_at = $2, next_at = NULL WHERE id = $1")
        .bind(id)
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Something is left to be done about it; `put_back` where an operator wants it on the host again.
pub async fn leave_open(tx: &mut Tx, id: &str, put_back: bool) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE recovery_line SET put_back_at = $2, next_at = $3 WHERE id = $1")
        .bind(id)
        .bind(put_back.then_some(now))
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn put_off(tx: &mut Tx, id: &str, until: Instant, detail: &str) -> Result<(), Error> {
    sqlx::query(
        "UPDATE recovery_line SET attempts = attempts + 1, next_at = $2, detail = $3
          WHERE id = $1 AND settled_at IS NULL",
    )
    .bind(id)
    .bind(until.micros())
    .bind(detail)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// By host.
pub async fn lines(conn: &mut Connection) -> Result<Vec<RecoveryLine>, Error> {
    let rows = sqlx::query(
        "SELECT id, owner, server_id, account, version_id, number, public_key, recorded_state, expected, answer, detail,
                probed_at, put_back_at, attempts
           FROM recovery_line ORDER BY server_id, owner, number, id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(line).collect()
}

/// Those about which something is to be done now.
pub async fn due(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<RecoveryLine>, Error> {
    let rows = sqlx::query(
        "SELECT id, owner, server_id, account, version_id, number, public_key, recorded_state, expected, answer, detail,
                probed_at, put_back_at, attempts
           FROM recovery_line WHERE next_at <= $1 ORDER BY server_id, owner, number, id LIMIT $2",
    )
    .bind(now.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(line).collect()
}

/// Numbers of the access's keys of which nobody knows yet whether the host has them.
pub async fn unknown(conn: &mut Connection, access: &AccessId, server: &ServerId) -> Result<Vec<u32>, Error> {
    let rows = sqlx::query(
        "SELECT number FROM recovery_line
          WHERE owner = $1 AND server_id = $2 AND settled_at IS NULL AND answer IN ('UNPROBED', 'UNREACHABLE')",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.int("number")).collect()
}

/// Whether something is left to be done on the server.
pub async fn is_open_on(conn: &mut Connection, server: &ServerId) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT id FROM recovery_line WHERE server_id = $1 AND settled_at IS NULL AND next_at IS NOT NULL LIMIT 1",
    )
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

fn line(row: &AnyRow) -> Result<RecoveryLine, Error> {
    let public_key = read_key(row, "public_key")?;
    Ok(RecoveryLine {
        id: row.text("id")?,
        owner: row.text("owner")?,
        server: row.text("server_id")?,
        account: row.text("account")?,
        version_id: row.text("version_id")?,
        number: row.int("number")?,
        public_key: public_key.ok_or_else(|| Error::Corrupt("public_key".to_owned()))?,
        recorded_state: row.text("recorded_state")?,
        expected: row.text("expected")?,
        answer: row.text("answer")?,
        detail: row.text("detail")?,
        probed_at: row.opt_int("probed_at")?,
        put_back_at: row.opt_int("put_back_at")?,
        attempts: row.int("attempts")?,
    })
}
