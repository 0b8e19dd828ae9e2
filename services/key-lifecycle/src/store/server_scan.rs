//! The last scan of each server, and the foreign keys that somebody answers for.

use super::{Connection, list, read_list};
use crate::model::{Adoption, ServerAccount, ServerKey, ServerScan};
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_storage::{Columns, Error, Tx};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;

pub async fn find(conn: &mut Connection, server: &ServerId) -> Result<Option<ServerScan>, Error> {
    let row = sqlx::query(
        "SELECT server_id, scanned_at, settings_read, truncated, accounts, found, other_ways, drift
           FROM server_scan WHERE server_id = $1",
    )
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(scan).transpose()
}

/// The next one is due at `next`.
pub async fn save(tx: &mut Tx, scan: &ServerScan, next: Instant) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO server_scan (server_id, scanned_at, settings_read, truncated, accounts, found, other_ways, drift,
                                  reason, attempts, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', 0, $9)
         ON CONFLICT (server_id) DO UPDATE SET scanned_at = $2, settings_read = $3, truncated = $4, accounts = $5,
                found = $6, other_ways = $7, drift = $8, reason = '', attempts = 0, next_at = $9",
    )
    .bind(scan.server.as_str())
    .bind(scan.scanned_at.map(Instant::micros))
    .bind(i64::from(scan.settings_read))
    .bind(i64::from(scan.truncated))
    .bind(json(&scan.accounts))
    .bind(json(&scan.keys))
    .bind(list(&scan.other_ways))
    .bind(i64::from(scan.drift))
    .bind(next.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A server that was never looked at is to be, at `next`; nothing changes for one that was.
pub async fn expect(tx: &mut Tx, server: &ServerId, next: Instant) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO server_scan (server_id, settings_read, truncated, accounts, found, other_ways, drift, reason,
                                  attempts, next_at)
         VALUES ($1, 0, 0, '[]', '[]', '[]', 0, '', 0, $2) ON CONFLICT (server_id) DO NOTHING",
    )
    .bind(server.as_str())
    .bind(next.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// It could not be looked at; what was found before stays.
pub async fn put_off(tx: &mut Tx, server: &ServerId, reason: &str, next: Instant) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server_scan SET reason = $2, attempts = attempts + 1, next_at = $3 WHERE server_id = $1",
    )
    .bind(server.as_str())
    .bind(reason)
    .bind(next.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn attempts(conn: &mut Connection, server: &ServerId) -> Result<u32, Error> {
    let row = sqlx::query("SELECT attempts FROM server_scan WHERE server_id = $1")
        .bind(server.as_str())
        .fetch_optional(conn)
        .await?;
    row.map_or(Ok(0), |row| row.int("attempts"))
}

/// There is no such server any more.
pub async fn forget(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    sqlx::query("DELETE FROM server_scan WHERE server_id = $1")
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM adopted_key WHERE server_id = $1")
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Managed servers that are to be looked at for the first time.
pub async fn unexpected(conn: &mut Connection, limit: i64) -> Result<Vec<ServerId>, Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT server_id FROM management
          WHERE state = 'SUCCEEDED' AND removed_at IS NULL
            AND server_id NOT IN (SELECT server_id FROM server_scan)
          ORDER BY server_id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("server_id")).collect()
}

/// Managed servers whose next look is due.
pub async fn due(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<ServerId>, Error> {
    let rows = sqlx::query(
        "SELECT server_id FROM server_scan
          WHERE next_at <= $1
            AND server_id IN (SELECT server_id FROM management WHERE state = 'SUCCEEDED' AND removed_at IS NULL)
          ORDER BY next_at LIMIT $2",
    )
    .bind(now.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("server_id")).collect()
}

pub async fn is_due(conn: &mut Connection, server: &ServerId, now: Instant) -> Result<bool, Error> {
    let row = sqlx::query("SELECT server_id FROM server_scan WHERE server_id = $1 AND next_at <= $2")
        .bind(server.as_str())
        .bind(now.micros())
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// Repeating it replaces who answers for the key, and the note.
pub async fn adopt(tx: &mut Tx, server: &ServerId, adoption: &Adoption) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO adopted_key (server_id, account, fingerprint, answered_by, note, adopted_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (server_id, account, fingerprint) DO UPDATE SET answered_by = $4, note = $5",
    )
    .bind(server.as_str())
    .bind(&adoption.account)
    .bind(adoption.fingerprint.as_str())
    .bind(&adoption.answered_by)
    .bind(&adoption.note)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn disown(tx: &mut Tx, server: &ServerId, account: &str, fingerprint: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM adopted_key WHERE server_id = $1 AND account = $2 AND fingerprint = $3")
        .bind(server.as_str())
        .bind(account)
        .bind(fingerprint)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn adopted(conn: &mut Connection, server: &ServerId) -> Result<Vec<Adoption>, Error> {
    let rows =
        sqlx::query("SELECT account, fingerprint, answered_by, note FROM adopted_key WHERE server_id = $1")
            .bind(server.as_str())
            .fetch_all(conn)
            .await?;
    rows.iter().map(adoption).collect()
}

fn adoption(row: &AnyRow) -> Result<Adoption, Error> {
    Ok(Adoption {
        account: row.text("account")?,
        fingerprint: row.text("fingerprint")?,
        answered_by: row.text("answered_by")?,
        note: row.text("note")?,
    })
}

fn scan(row: &AnyRow) -> Result<ServerScan, Error> {
    let accounts: Vec<ServerAccount> = read(row, "accounts")?;
    let keys: Vec<ServerKey> = read(row, "found")?;
    Ok(ServerScan {
        server: row.text("server_id")?,
        scanned_at: row.opt_int("scanned_at")?,
        accounts,
        keys,
        other_ways: read_list(row, "other_ways")?,
        settings_read: row.int::<i64>("settings_read")? != 0,
        truncated: row.int::<i64>("truncated")? != 0,
        drift: row.int("drift")?,
    })
}

fn json<T: Serialize>(items: &[T]) -> String {
    serde_json::to_string(items).unwrap_or_else(|_| "[]".to_owned())
}

fn read<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<Vec<T>, Error> {
    let text: String = row.text(column)?;
    serde_json::from_str(&text).map_err(|_| Error::Corrupt(column.to_owned()))
}
