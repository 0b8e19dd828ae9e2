//! The options of the lines of each access on each host, and where those of a changed policy are still to be brought.

use super::{Connection, list};
use crate::model::LineOptions;
use keywright_domain::authorized_keys::LineOption;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// An access whose lines on a server are to get other options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub access: AccessId,
    pub at: i64,
    pub attempts: u32,
}

pub async fn of(conn: &mut Connection, access: &AccessId, server: &ServerId) -> Result<LineOptions, Error> {
    let row = sqlx::query(
        "SELECT written, proven, refused FROM line_options WHERE access_id = $1 AND server_id = $2",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(LineOptions::default()) };
    Ok(LineOptions {
        written: read(&row, "written")?,
        proven: read(&row, "proven")?,
        refused: read(&row, "refused")?,
    })
}

/// By an edit that was done.
pub async fn written(
    tx: &mut Tx,
    access: &AccessId,
    server: &ServerId,
    options: &[LineOption],
) -> Result<(), Error> {
    let options = list(&options.iter().map(|option| option.as_str().to_owned()).collect::<Vec<_>>());
    sqlx::query(
        "INSERT INTO line_options (access_id, server_id, written, attempts) VALUES ($1, $2, $3, 0)
         ON CONFLICT (access_id, server_id) DO UPDATE SET written = $3",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .bind(options)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A key was accepted since the last edit.
pub async fn proven(tx: &mut Tx, access: &AccessId, server: &ServerId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE line_options SET proven = written, refused = NULL
          WHERE access_id = $1 AND server_id = $2 AND written IS NOT NULL AND COALESCE(proven, '') <> written",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A key was refused after an edit that changed the options: false where there are no others to go back to.
pub async fn refused(tx: &mut Tx, access: &AccessId, server: &ServerId) -> Result<bool, Error> {
    let done = sqlx::query(
        "UPDATE line_options SET refused = written
          WHERE access_id = $1 AND server_id = $2 AND proven IS NOT NULL AND proven <> written",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The policy of the platform, a tenant or an access says other options: every host below it is to be looked at.
pub async fn changed(tx: &mut Tx, tenant: Option<&TenantId>, access: Option<&AccessId>) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO line_options (access_id, server_id, due_at, attempts)
         SELECT h.access_id, h.server_id, CAST($1 AS BIGINT), 0
           FROM access_host h JOIN access a ON a.id = h.access_id
          WHERE a.closed_at IS NULL AND h.left_at IS NULL AND ($2 = '' OR a.tenant_id = $2) AND ($3 = '' OR a.id = $3)
         ON CONFLICT (access_id, server_id) DO UPDATE SET due_at = CAST($1 AS BIGINT), attempts = 0",
    )
    .bind(now)
    .bind(tenant.map_or("", TenantId::as_str))
    .bind(access.map_or("", AccessId::as_str))
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn due_servers(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<ServerId>, Error> {
    let rows = sqlx::query(
        "SELECT server_id, MIN(due_at) AS first FROM line_options WHERE due_at <= $1
          GROUP BY server_id ORDER BY first LIMIT $2",
    )
    .bind(now.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("server_id")).collect()
}

pub async fn due_on(conn: &mut Connection, server: &ServerId, now: Instant) -> Result<Vec<Due>, Error> {
    let rows = sqlx::query(
        "SELECT access_id, due_at, attempts FROM line_options WHERE server_id = $1 AND due_at <= $2 ORDER BY due_at",
    )
    .bind(server.as_str())
    .bind(now.micros())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Due { access: row.text("access_id")?, at: row.int("due_at")?, attempts: row.int("attempts")? })
        })
        .collect()
}

/// Unless the policy has changed again meanwhile.
pub async fn done(tx: &mut Tx, server: &ServerId, due: &Due) -> Result<(), Error> {
    sqlx::query(
        "UPDATE line_options SET due_at = NULL WHERE access_id = $1 AND server_id = $2 AND due_at = $3",
    )
    .bind(due.access.as_str())
    .bind(server.as_str())
    .bind(due.at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn put_off(tx: &mut Tx, server: &ServerId, due: &Due, until: Instant) -> Result<(), Error> {
    sqlx::query(
        "UPDATE line_options SET due_at = $4, attempts = attempts + 1
          WHERE access_id = $1 AND server_id = $2 AND due_at = $3",
    )
    .bind(due.access.as_str())
    .bind(server.as_str())
    .bind(due.at)
    .bind(until.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn read(row: &AnyRow, column: &str) -> Result<Option<Vec<LineOption>>, Error> {
    let corrupt = || Error::Corrupt(column.to_owned());
    let text: Option<String> = row.opt_text(column)?;
    let Some(text) = text else { return Ok(None) };
    let texts: Vec<String> = serde_json::from_str(&text).map_err(|_| corrupt())?;
    let options = texts.iter().map(|text| LineOption::parse(text));
    options.collect::<Result<_, _>>().map(Some).map_err(|_| corrupt())
}
