//! Where each version stands on each host.

use super::Connection;
use crate::model::{Enforcer, Line, LineState, Receipt};
use keywright_domain::ids::{AccessId, ServerId, VersionId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// The version is wanted on the host from now on.
pub async fn want(
    tx: &mut Tx,
    access: &AccessId,
    server: &ServerId,
    version: &VersionId,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO host_line (server_id, version_id, access_id, state) VALUES ($1, $2, $3, 'ABSENT')
         ON CONFLICT (server_id, version_id) DO NOTHING",
    )
    .bind(server.as_str())
    .bind(version.as_str())
    .bind(access.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn set_state(
    tx: &mut Tx,
    server: &ServerId,
    version: &VersionId,
    state: LineState,
) -> Result<(), Error> {
    sqlx::query("UPDATE host_line SET state = $3 WHERE server_id = $1 AND version_id = $2")
        .bind(server.as_str())
        .bind(version.as_str())
        .bind(state.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn set_enforcer(
    tx: &mut Tx,
    server: &ServerId,
    version: &VersionId,
    by: Enforcer,
) -> Result<(), Error> {
    sqlx::query("UPDATE host_line SET enforced_by = $3 WHERE server_id = $1 AND version_id = $2")
        .bind(server.as_str())
        .bind(version.as_str())
        .bind(by.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn set_receipt(
    tx: &mut Tx,
    server: &ServerId,
    version: &VersionId,
    receipt: &Receipt,
) -> Result<(), Error> {
    let text = serde_json::to_string(receipt).map_err(|_| Error::Corrupt("receipt".to_owned()))?;
    sqlx::query("UPDATE host_line SET receipt = $3 WHERE server_id = $1 AND version_id = $2")
        .bind(server.as_str())
        .bind(version.as_str())
        .bind(text)
        .execute(tx.conn())
        .await?;
    super::key_use::logged_in(tx, server, version, receipt).await
}

/// Wherever the version may stand, it is to go.
pub async fn remove(tx: &mut Tx, version: &VersionId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE host_line SET state = 'REMOVAL_PENDING' WHERE version_id = $1 AND state <> 'REMOVED_PROVEN'",
    )
    .bind(version.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The version is to go from this host.
pub async fn remove_on(tx: &mut Tx, server: &ServerId, version: &VersionId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE host_line SET state = 'REMOVAL_PENDING'
          WHERE server_id = $1 AND version_id = $2 AND state <> 'REMOVED_PROVEN'",
    )
    .bind(server.as_str())
    .bind(version.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Every version of the access is to go from this host.
pub async fn remove_all_on(tx: &mut Tx, access: &AccessId, server: &ServerId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE host_line SET state = 'REMOVAL_PENDING'
          WHERE access_id = $1 AND server_id = $2 AND state <> 'REMOVED_PROVEN'",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The host has none of the access's lines, and is none of its hosts. Its groups remember the access: what is in a
/// revocation list never leaves it.
pub async fn forget_on(tx: &mut Tx, access: &AccessId, server: &ServerId) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO group_access (group_name, access_id, tenant_id)
         SELECT DISTINCT g.group_name, l.access_id, g.tenant_id
           FROM host_line l JOIN server_group g ON g.server_id = l.server_id
          WHERE l.access_id = $1 AND l.server_id = $2
             ON CONFLICT (group_name, access_id) DO NOTHING",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM host_line WHERE access_id = $1 AND server_id = $2")
        .bind(access.as_str())
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The same for every revoked version of the access.
pub async fn remove_revoked(tx: &mut Tx, access: &AccessId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE host_line SET state = 'REMOVAL_PENDING'
          WHERE access_id = $1 AND state <> 'REMOVED_PROVEN'
            AND version_id IN (SELECT id FROM key_version WHERE access_id = $1 AND state = 'REVOKED')",
    )
    .bind(access.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn of(conn: &mut Connection, access: &AccessId) -> Result<Vec<Line>, Error> {
    let rows = sqlx::query(
        "SELECT server_id, version_id, state, enforced_by, receipt FROM host_line WHERE access_id = $1",
    )
    .bind(access.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(line).collect()
}

fn line(row: &AnyRow) -> Result<Line, Error> {
    let receipt: Option<String> = row.opt_text("receipt")?;
    let receipt = receipt.map(|text| serde_json::from_str::<Receipt>(&text)).transpose();
    Ok(Line {
        server: row.text("server_id")?,
        version: row.text("version_id")?,
        state: row.text("state")?,
        enforced_by: row.opt_text("enforced_by")?,
        receipt: receipt.map_err(|_| Error::Corrupt("receipt".to_owned()))?,
    })
}
