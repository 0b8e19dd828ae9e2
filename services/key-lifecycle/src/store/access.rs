//! Accesses, their hosts, and which access an account of a server belongs to.

use super::{Connection, list, read_list};
use crate::model::{Access, Host};
use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use keywright_domain::key::KeyAlgorithm;
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, access: &Access) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO access (id, tenant_id, account, credential_id, algorithm, create_account_at, created_at, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1)",
    )
    .bind(access.id.as_str())
    .bind(access.tenant.as_str())
    .bind(access.account.as_str())
    .bind(access.credential.as_str())
    .bind(access.algorithm.as_str())
    .bind(access.create_account.then_some(access.created_at.micros()))
    .bind(access.created_at.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn set_algorithm(tx: &mut Tx, id: &AccessId, algorithm: KeyAlgorithm) -> Result<(), Error> {
    sqlx::query("UPDATE access SET algorithm = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(algorithm.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A host that was one before keeps its edit revision: what is late from then stays too late.
pub async fn insert_host(tx: &mut Tx, access: &AccessId, position: i64, host: &Host) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO access_host (access_id, server_id, position, server_name, host, port, edit_revision, residual,
                                  create_account_at)
         VALUES ($1, $2, $3, $4, $5, $6, 0, '[]', $7)
         ON CONFLICT (access_id, server_id) DO UPDATE
            SET position = $3, server_name = $4, host = $5, port = $6, residual = '[]', create_account_at = $7,
                leaving_at = NULL, left_at = NULL",
    )
    .bind(access.as_str())
    .bind(host.server.as_str())
    .bind(position)
    .bind(&host.name)
    .bind(&host.host)
    .bind(i64::from(host.port))
    .bind(host.create_account.then_some(now))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// After the last host that the access ever had.
pub async fn next_position(tx: &mut Tx, access: &AccessId) -> Result<i64, Error> {
    let row = sqlx::query(
        "SELECT COALESCE(MAX(position), 0) + 1 AS position FROM access_host WHERE access_id = $1",
    )
    .bind(access.as_str())
    .fetch_one(tx.conn())
    .await?;
    row.int("position")
}

/// Takes the account of the server for the access; fails with `Exists` if another has it.
pub async fn take_account(
    tx: &mut Tx,
    server: &ServerId,
    account: &AccountName,
    access: &AccessId,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO host_account (server_id, account, access_id) VALUES ($1, $2, $3)")
        .bind(server.as_str())
        .bind(account.as_str())
        .bind(access.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Which access has the account of the server.
pub async fn of_account(
    conn: &mut Connection,
    server: &ServerId,
    account: &str,
) -> Result<Option<AccessId>, Error> {
    let row = sqlx::query("SELECT access_id FROM host_account WHERE server_id = $1 AND account = $2")
        .bind(server.as_str())
        .bind(account)
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.text("access_id")).transpose()
}

/// It never came into use: its accounts are free again.
pub async fn close(tx: &mut Tx, access: &AccessId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE access SET closed_at = $2, revision = revision + 1 WHERE id = $1")
        .bind(access.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM host_account WHERE access_id = $1")
        .bind(access.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// It is given up for good.
pub async fn deprovision(tx: &mut Tx, access: &AccessId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE access SET deprovision_at = COALESCE(deprovision_at, $2), revision = revision + 1 WHERE id = $1",
    )
    .bind(access.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// It was given up, and holds nothing any more. Its hosts stay to be read.
pub async fn deprovisioned(tx: &mut Tx, access: &AccessId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE access SET deprovisioned_at = COALESCE(deprovisioned_at, $2), revision = revision + 1 WHERE id = $1")
        .bind(access.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM host_account WHERE access_id = $1")
        .bind(access.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The host is being taken off the access.
pub async fn leave_host(tx: &mut Tx, access: &AccessId, server: &ServerId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE access_host SET leaving_at = $3 WHERE access_id = $1 AND server_id = $2")
        .bind(access.as_str())
        .bind(server.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The host is none of the access any more, and the account on it is free.
pub async fn host_left(tx: &mut Tx, access: &AccessId, server: &ServerId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE access_host SET left_at = $3 WHERE access_id = $1 AND server_id = $2")
        .bind(access.as_str())
        .bind(server.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM host_account WHERE access_id = $1 AND server_id = $2")
        .bind(access.as_str())
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    touch(tx, access).await
}

pub async fn set_revoked(tx: &mut Tx, access: &AccessId, at: Option<Instant>) -> Result<(), Error> {
    sqlx::query("UPDATE access SET revoked_at = $2, revision = revision + 1 WHERE id = $1")
        .bind(access.as_str())
        .bind(at.map(Instant::micros))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Something about it changed.
pub async fn touch(tx: &mut Tx, access: &AccessId) -> Result<(), Error> {
    sqlx::query("UPDATE access SET revision = revision + 1 WHERE id = $1")
        .bind(access.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn find(conn: &mut Connection, id: &AccessId) -> Result<Option<Access>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, account, credential_id, algorithm, create_account_at, created_at, revoked_at, closed_at,
                revision, deprovision_at, deprovisioned_at
           FROM access WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(access).transpose()
}

/// All that came into use or still may, of every tenant.
pub async fn all(conn: &mut Connection) -> Result<Vec<Access>, Error> {
    let rows = sqlx::query(
        "SELECT id, tenant_id, account, credential_id, algorithm, create_account_at, created_at, revoked_at, closed_at,
                revision, deprovision_at, deprovisioned_at
           FROM access WHERE closed_at IS NULL ORDER BY id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(access).collect()
}

/// Newest first; what never came into use is left out.
pub async fn page(conn: &mut Connection, tenant: &TenantId, page: &Page) -> Result<Vec<Access>, Error> {
    let (before, id) = page.key();
    let rows = sqlx::query(
        "SELECT id, tenant_id, account, credential_id, algorithm, create_account_at, created_at, revoked_at, closed_at,
                revision, deprovision_at, deprovisioned_at
           FROM access
          WHERE tenant_id = $1 AND closed_at IS NULL AND (created_at < $2 OR (created_at = $2 AND id < $3))
          ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(before)
    .bind(id)
    .bind(page.size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(access).collect()
}

/// Those that are being taken off too, until they have left.
pub async fn hosts(conn: &mut Connection, access: &AccessId) -> Result<Vec<Host>, Error> {
    let rows = sqlx::query(
        "SELECT server_id, server_name, host, port, residual, create_account_at, leaving_at
           FROM access_host WHERE access_id = $1 AND left_at IS NULL ORDER BY position",
    )
    .bind(access.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(host).collect()
}

/// Those that new work is for.
pub async fn staying_hosts(conn: &mut Connection, access: &AccessId) -> Result<Vec<Host>, Error> {
    Ok(hosts(conn, access).await?.into_iter().filter(|host| !host.leaving).collect())
}

/// The revision for the next edit of the host: higher than all before.
pub async fn next_edit(tx: &mut Tx, access: &AccessId, server: &ServerId) -> Result<u64, Error> {
    let row = sqlx::query(
        "UPDATE access_host SET edit_revision = edit_revision + 1 WHERE access_id = $1 AND server_id = $2
      RETURNING edit_revision",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .fetch_one(tx.conn())
    .await?;
    row.int("edit_revision")
}

pub async fn last_edit(conn: &mut Connection, access: &AccessId, server: &ServerId) -> Result<u64, Error> {
    let row = sqlx::query("SELECT edit_revision FROM access_host WHERE access_id = $1 AND server_id = $2")
        .bind(access.as_str())
        .bind(server.as_str())
        .fetch_one(conn)
        .await?;
    row.int("edit_revision")
}

pub async fn set_residual(
    tx: &mut Tx,
    access: &AccessId,
    server: &ServerId,
    residual: &[String],
) -> Result<(), Error> {
    sqlx::query("UPDATE access_host SET residual = $3 WHERE access_id = $1 AND server_id = $2")
        .bind(access.as_str())
        .bind(server.as_str())
        .bind(list(residual))
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn access(row: &AnyRow) -> Result<Access, Error> {
    Ok(Access {
        id: row.text("id")?,
        tenant: row.text("tenant_id")?,
        account: row.text("account")?,
        credential: row.text("credential_id")?,
        algorithm: row.text("algorithm")?,
        create_account: row.opt_int::<i64>("create_account_at")?.is_some(),
        created_at: row.int("created_at")?,
        revoked_at: row.opt_int("revoked_at")?,
        closed_at: row.opt_int("closed_at")?,
        deprovision_at: row.opt_int("deprovision_at")?,
        deprovisioned_at: row.opt_int("deprovisioned_at")?,
        revision: row.int("revision")?,
    })
}

fn host(row: &AnyRow) -> Result<Host, Error> {
    Ok(Host {
        server: row.text("server_id")?,
        name: row.text("server_name")?,
        host: row.text("host")?,
        port: row.int("port")?,
        residual: read_list(row, "residual")?,
        create_account: row.opt_int::<i64>("create_account_at")?.is_some(),
        leaving: row.opt_int::<i64>("leaving_at")?.is_some(),
    })
}
