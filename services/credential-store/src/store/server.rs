//! Servers with their pinned host keys.

use super::filter::Filter;
use super::labels;
use crate::domain::server::{
    Binding, Capabilities, HostKey, Lifecycle, Management, Mismatch, Server, UNVERIFIED,
};
use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::ids::{CredentialId, ServerId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

fn decode(row: &AnyRow) -> Result<Server, Error> {
    let binding = row.opt_text::<CredentialId>("bound_credential_id")?.map(|credential| {
        Ok::<_, Error>(Binding {
            credential,
            username: row.opt_text("effective_username")?.unwrap_or_default(),
            test_status: row.opt_text("bound_test_status")?.unwrap_or_else(|| UNVERIFIED.to_owned()),
            last_test: row.opt_text("bound_test_id")?,
        })
    });
    let management = row.opt_text::<CredentialId>("management_credential_id")?.map(|credential| {
        Ok::<_, Error>(Management {
            credential,
            username: row.opt_text("management_username")?.unwrap_or_default(),
        })
    });
    let capabilities = row.opt_text::<String>("server_version")?.map(|server_version| {
        Ok::<_, Error>(Capabilities {
            server_version,
            seen_at: row.opt_int("seen_at")?.unwrap_or(Instant::from_micros(0)),
        })
    });
    let mismatch = row.opt_text::<Fingerprint>("mismatch_fingerprint")?.map(|presented| {
        let seen_at = row.opt_int("mismatch_at")?.unwrap_or(Instant::from_micros(0));
        Ok::<_, Error>(Mismatch { presented, seen_at })
    });
    Ok(Server {
        id: row.text("id")?,
        tenant: row.text("tenant_id")?,
        name: row.text("name")?,
        host: row.text("host")?,
        port: row.int("port")?,
        group: row.text("group_name")?,
        labels: labels::decode(&row.text::<String>("labels")?)?,
        lifecycle: row.text("lifecycle")?,
        host_keys: Vec::new(),
        mismatch: mismatch.transpose()?,
        jump_host: row.opt_text("jump_host_id")?,
        binding: binding.transpose()?,
        management: management.transpose()?,
        capabilities: capabilities.transpose()?,
        created_at: row.int("created_at")?,
        revision: row.int("revision")?,
    })
}

async fn read(conn: &mut AnyConnection, id: &ServerId) -> Result<Option<Server>, Error> {
    let row = sqlx::query(
        "SELECT s.id, s.tenant_id, s.name, s.host, s.port, s.group_name, s.labels, s.lifecycle,
                s.bound_credential_id, COALESCE(s.bound_username, c.username) AS effective_username,
                s.bound_test_status, s.bound_test_id, s.management_credential_id, s.management_username,
                s.server_version, s.seen_at, s.jump_host_id, s.mismatch_fingerprint, s.mismatch_at, s.created_at,
                s.revision
           FROM server s LEFT JOIN credential c ON c.id = s.bound_credential_id
          WHERE s.id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut server = decode(&row)?;
    server.host_keys = host_keys(conn, id).await?;
    Ok(Some(server))
}

async fn host_keys(conn: &mut AnyConnection, id: &ServerId) -> Result<Vec<HostKey>, Error> {
    let rows = sqlx::query(
        "SELECT public_key, authority, approved_at, approved_by FROM host_key
          WHERE server_id = $1 ORDER BY approved_at, fingerprint",
    )
    .bind(id.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(HostKey {
                key: row.text("public_key")?,
                authority: row.int::<i64>("authority")? != 0,
                approved_at: row.int("approved_at")?,
                approved_by: row.text("approved_by")?,
            })
        })
        .collect()
}

async fn with_host_keys(conn: &mut AnyConnection, rows: &[AnyRow]) -> Result<Vec<Server>, Error> {
    let mut servers = Vec::with_capacity(rows.len());
    for row in rows {
        let mut server = decode(row)?;
        server.host_keys = host_keys(conn, &server.id).await?;
        servers.push(server);
    }
    Ok(servers)
}

pub async fn find(db: &Db, id: &ServerId) -> Result<Option<Server>, Error> {
    let mut conn = db.read().acquire().await?;
    read(&mut conn, id).await
}

pub async fn find_in(tx: &mut Tx, id: &ServerId) -> Result<Option<Server>, Error> {
    read(tx.conn(), id).await
}

/// Of ten at most, those that there are.
pub async fn named(db: &Db, ids: &[ServerId]) -> Result<Vec<Server>, Error> {
    let mut conn = db.read().acquire().await?;
    let id = |number: usize| ids.get(number).map_or("", ServerId::as_str);
    let rows = sqlx::query(
        "SELECT s.id, s.tenant_id, s.name, s.host, s.port, s.group_name, s.labels, s.lifecycle,
                s.bound_credential_id, COALESCE(s.bound_username, c.username) AS effective_username,
                s.bound_test_status, s.bound_test_id, s.management_credential_id, s.management_username,
                s.server_version, s.seen_at, s.jump_host_id, s.mismatch_fingerprint, s.mismatch_at, s.created_at,
                s.revision
           FROM server s LEFT JOIN credential c ON c.id = s.bound_credential_id
          WHERE s.id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id(0))
    .bind(id(1))
    .bind(id(2))
    .bind(id(3))
    .bind(id(4))
    .bind(id(5))
    .bind(id(6))
    .bind(id(7))
    .bind(id(8))
    .bind(id(9))
    .fetch_all(&mut *conn)
    .await?;
    with_host_keys(&mut conn, &rows).await
}

/// Newest first, one row more than the page holds.
pub async fn list(db: &Db, filter: &Filter, page: &Page) -> Result<Vec<Server>, Error> {
    let (before, before_id) = page.key();
    let mut conn = db.read().acquire().await?;
    let rows = sqlx::query(
        "SELECT s.id, s.tenant_id, s.name, s.host, s.port, s.group_name, s.labels, s.lifecycle,
                s.bound_credential_id, COALESCE(s.bound_username, c.username) AS effective_username,
                s.bound_test_status, s.bound_test_id, s.management_credential_id, s.management_username,
                s.server_version, s.seen_at, s.jump_host_id, s.mismatch_fingerprint, s.mismatch_at, s.created_at,
                s.revision
           FROM server s LEFT JOIN credential c ON c.id = s.bound_credential_id
          WHERE ($1 = '' OR s.tenant_id = $1)
            AND (s.id LIKE $2 ESCAPE '!' OR LOWER(s.name) LIKE $2 ESCAPE '!' OR LOWER(s.host) LIKE $2 ESCAPE '!')
            AND (s.created_at < $3 OR (s.created_at = $3 AND s.id < $4))
          ORDER BY s.created_at DESC, s.id DESC
          LIMIT $5",
    )
    .bind(filter.tenant.as_ref().map_or("", TenantId::as_str))
    .bind(&filter.pattern)
    .bind(before)
    .bind(before_id)
    .bind(page.size.saturating_add(1))
    .fetch_all(&mut *conn)
    .await?;
    with_host_keys(&mut conn, &rows).await
}

/// What a list for background work is narrowed to; empty text narrows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Among<'a> {
    pub tenant: &'a str,
    pub group: &'a str,
    pub managed_only: bool,
}

/// Oldest first, one row more than the page holds.
pub async fn among(db: &Db, among: Among<'_>, page: &Page) -> Result<Vec<Server>, Error> {
    let (after, after_id) =
        page.before.as_ref().map_or((i64::MIN, ""), |(at, id)| (at.micros(), id.as_str()));
    let mut conn = db.read().acquire().await?;
    let rows = sqlx::query(
        "SELECT s.id, s.tenant_id, s.name, s.host, s.port, s.group_name, s.labels, s.lifecycle,
                s.bound_credential_id, COALESCE(s.bound_username, c.username) AS effective_username,
                s.bound_test_status, s.bound_test_id, s.management_credential_id, s.management_username,
                s.server_version, s.seen_at, s.jump_host_id, s.mismatch_fingerprint, s.mismatch_at, s.created_at,
                s.revision
           FROM server s LEFT JOIN credential c ON c.id = s.bound_credential_id
          WHERE ($1 = '' OR s.tenant_id = $1)
            AND ($2 = '' OR s.group_name = $2)
            AND ($3 = 0 OR s.management_credential_id IS NOT NULL)
            AND (s.created_at > $4 OR (s.created_at = $4 AND s.id > $5))
          ORDER BY s.created_at, s.id
          LIMIT $6",
    )
    .bind(among.tenant)
    .bind(among.group)
    .bind(i64::from(among.managed_only))
    .bind(after)
    .bind(after_id)
    .bind(page.size.saturating_add(1))
    .fetch_all(&mut *conn)
    .await?;
    with_host_keys(&mut conn, &rows).await
}

pub async fn insert(tx: &mut Tx, server: &Server) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO server (id, tenant_id, name, host, port, group_name, labels, lifecycle, created_at, revision,
                             jump_host_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(server.id.as_str())
    .bind(server.tenant.as_str())
    .bind(&server.name)
    .bind(server.host.as_str())
    .bind(i64::from(server.port))
    .bind(&server.group)
    .bind(labels::encode(&server.labels))
    .bind(server.lifecycle.as_str())
    .bind(server.created_at.micros())
    .bind(server.revision)
    .bind(server.jump_host.as_ref().map(ServerId::as_str))
    .execute(tx.conn())
    .await?;
    for key in &server.host_keys {
        pin(tx, &server.id, key).await?;
    }
    Ok(())
}

pub async fn rename(tx: &mut Tx, id: &ServerId, name: &str) -> Result<(), Error> {
    sqlx::query("UPDATE server SET name = $2, revision = revision + 1 WHERE id = $1")
        .bind(id.as_str())
        .bind(name)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn deactivate(tx: &mut Tx, id: &ServerId) -> Result<(), Error> {
    sqlx::query("UPDATE server SET lifecycle = $2, revision = revision + 1 WHERE id = $1")
        .bind(id.as_str())
        .bind(Lifecycle::Inactive.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: &ServerId) -> Result<(), Error> {
    unpin_all(tx, id).await?;
    sqlx::query("DELETE FROM server WHERE id = $1").bind(id.as_str()).execute(tx.conn()).await?;
    Ok(())
}

/// A new binding has not been tested, even where the credential is the same.
pub async fn bind(
    tx: &mut Tx,
    id: &ServerId,
    credential: &CredentialId,
    username: Option<&str>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server SET bound_credential_id = $2, bound_username = $3, bound_test_status = NULL,
                bound_test_id = NULL, revision = revision + 1
          WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(credential.as_str())
    .bind(username)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn unbind(tx: &mut Tx, id: &ServerId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server SET bound_credential_id = NULL, bound_username = NULL, bound_test_status = NULL,
                bound_test_id = NULL, revision = revision + 1
          WHERE id = $1",
    )
    .bind(id.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The result of a test counts for the binding only if the credential is still the bound one.
pub async fn record_test(
    tx: &mut Tx,
    id: &ServerId,
    credential: &CredentialId,
    test: &str,
    status: &str,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server SET bound_test_status = $3, bound_test_id = $4, revision = revision + 1
          WHERE id = $1 AND bound_credential_id = $2",
    )
    .bind(id.as_str())
    .bind(credential.as_str())
    .bind(status)
    .bind(test)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// After a rotation nothing is proven any more.
pub async fn forget_tests_of(tx: &mut Tx, credential: &CredentialId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server SET bound_test_status = NULL, bound_test_id = NULL, revision = revision + 1
          WHERE bound_credential_id = $1",
    )
    .bind(credential.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How a server's test ended, and what was seen of it: empty where nothing was. The result counts for the binding only if
/// the credential is the bound one. Whether the server is there.
pub async fn record_result(
    tx: &mut Tx,
    id: &ServerId,
    credential: Option<&CredentialId>,
    test: &str,
    status: &str,
    server_version: &str,
) -> Result<bool, Error> {
    let now = tx.now().micros();
    let done = sqlx::query(
        "UPDATE server
            SET bound_test_status = CASE WHEN bound_credential_id = $2 THEN $3 ELSE bound_test_status END,
                bound_test_id = CASE WHEN bound_credential_id = $2 THEN $4 ELSE bound_test_id END,
                server_version = CASE WHEN $5 = '' THEN server_version ELSE $5 END,
                seen_at = CASE WHEN $5 = '' THEN seen_at ELSE $6 END,
                revision = revision + CASE WHEN $5 <> '' OR bound_credential_id = $2 THEN 1 ELSE 0 END
          WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(credential.map_or("", CredentialId::as_str))
    .bind(status)
    .bind(test)
    .bind(server_version)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn set_management(tx: &mut Tx, id: &ServerId, management: &Management) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server SET management_credential_id = $2, management_username = $3, revision = revision + 1
          WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(management.credential.as_str())
    .bind(&management.username)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The server that has this credential for its management key, if any.
pub async fn managed_by(tx: &mut Tx, credential: &CredentialId) -> Result<Option<ServerId>, Error> {
    let row = sqlx::query("SELECT id FROM server WHERE management_credential_id = $1 LIMIT 1")
        .bind(credential.as_str())
        .fetch_optional(tx.conn())
        .await?;
    row.map(|row| row.text("id")).transpose()
}

pub async fn clear_management(tx: &mut Tx, id: &ServerId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server SET management_credential_id = NULL, management_username = NULL, revision = revision + 1
          WHERE id = $1",
    )
    .bind(id.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn pin(tx: &mut Tx, id: &ServerId, key: &HostKey) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO host_key (server_id, fingerprint, public_key, approved_at, approved_by, authority)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (server_id, fingerprint) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(key.key.fingerprint().as_str())
    .bind(key.key.openssh())
    .bind(key.approved_at.micros())
    .bind(&key.approved_by)
    .bind(i64::from(key.authority))
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn unpin(tx: &mut Tx, id: &ServerId, fingerprint: &Fingerprint) -> Result<(), Error> {
    sqlx::query("DELETE FROM host_key WHERE server_id = $1 AND fingerprint = $2")
        .bind(id.as_str())
        .bind(fingerprint.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The host's own keys; authorities stay.
pub async fn unpin_keys(tx: &mut Tx, id: &ServerId) -> Result<(), Error> {
    sqlx::query("DELETE FROM host_key WHERE server_id = $1 AND authority = 0")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

async fn unpin_all(tx: &mut Tx, id: &ServerId) -> Result<(), Error> {
    sqlx::query("DELETE FROM host_key WHERE server_id = $1").bind(id.as_str()).execute(tx.conn()).await?;
    Ok(())
}

pub async fn set_jump_host(tx: &mut Tx, id: &ServerId, jump_host: Option<&ServerId>) -> Result<(), Error> {
    sqlx::query("UPDATE server SET jump_host_id = $2, revision = revision + 1 WHERE id = $1")
        .bind(id.as_str())
        .bind(jump_host.map(ServerId::as_str))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The names of some servers that are reached through this one.
pub async fn led_to(db: &Db, id: &ServerId) -> Result<Vec<String>, Error> {
    let mut conn = db.read().acquire().await?;
    names_behind(&mut conn, id).await
}

pub async fn led_to_in(tx: &mut Tx, id: &ServerId) -> Result<Vec<String>, Error> {
    names_behind(tx.conn(), id).await
}

async fn names_behind(conn: &mut AnyConnection, id: &ServerId) -> Result<Vec<String>, Error> {
    let rows = sqlx::query("SELECT name FROM server WHERE jump_host_id = $1 ORDER BY name LIMIT 10")
        .bind(id.as_str())
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.text("name")).collect()
}

pub async fn record_mismatch(tx: &mut Tx, id: &ServerId, seen: &Mismatch) -> Result<(), Error> {
    sqlx::query(
        "UPDATE server SET mismatch_fingerprint = $2, mismatch_at = $3, revision = revision + 1 WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(seen.presented.as_str())
    .bind(seen.seen_at.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn clear_mismatch(tx: &mut Tx, id: &ServerId) -> Result<(), Error> {
    sqlx::query("UPDATE server SET mismatch_fingerprint = NULL, mismatch_at = NULL WHERE id = $1")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Pins, removals and the like: whoever read the server before reads a new revision.
pub async fn touch(tx: &mut Tx, id: &ServerId) -> Result<(), Error> {
    sqlx::query("UPDATE server SET revision = revision + 1 WHERE id = $1")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}
