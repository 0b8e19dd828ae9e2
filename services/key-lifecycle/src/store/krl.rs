//! What revocation lists are made of: the same rows that a revocation writes, and the groups of servers.

use super::{Connection, read_key};
use crate::model::{ListFile, ListState, Scope};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{ServerId, TenantId};
use keywright_domain::key::PublicKey;
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

/// Which keys stand in a list: revoked ones of accesses that ever had a line on a server of the group, and every
/// compromised one. For a tenant, of its own accesses and servers.
pub async fn keys(conn: &mut Connection, scope: &Scope) -> Result<Vec<PublicKey>, Error> {
    let rows = sqlx::query(
        "SELECT v.public_key FROM key_version v JOIN access a ON a.id = v.access_id
          WHERE v.public_key IS NOT NULL AND ($2 = '' OR a.tenant_id = $2) AND v.compromised_at IS NOT NULL
          UNION
         SELECT v.public_key FROM key_version v JOIN access a ON a.id = v.access_id
          WHERE v.public_key IS NOT NULL AND ($2 = '' OR a.tenant_id = $2) AND v.state = 'REVOKED'
            AND v.access_id IN (SELECT l.access_id FROM host_line l JOIN server_group g ON g.server_id = l.server_id
                                 WHERE g.group_name = $1 AND ($2 = '' OR g.tenant_id = $2)
                                 UNION
                                SELECT access_id FROM group_access
                                 WHERE group_name = $1 AND ($2 = '' OR tenant_id = $2))",
    )
    .bind(&scope.group)
    .bind(scope.tenant())
    .fetch_all(conn)
    .await?;
    let keys = rows.iter().map(|row| read_key(row, "public_key"));
    keys.filter_map(Result::transpose).collect()
}

/// The same rows, counted.
pub async fn state(conn: &mut Connection, scope: &Scope) -> Result<ListState, Error> {
    let row = sqlx::query(
        "SELECT COUNT(DISTINCT public_key) AS number, COALESCE(MAX(since), 0) AS changed_at
           FROM (SELECT v.public_key, v.compromised_at AS since
                   FROM key_version v JOIN access a ON a.id = v.access_id
                  WHERE v.public_key IS NOT NULL AND ($2 = '' OR a.tenant_id = $2) AND v.compromised_at IS NOT NULL
                  UNION ALL
                 SELECT v.public_key, v.revoked_at AS since
                   FROM key_version v JOIN access a ON a.id = v.access_id
                  WHERE v.public_key IS NOT NULL AND ($2 = '' OR a.tenant_id = $2) AND v.compromised_at IS NULL
                    AND v.state = 'REVOKED'
                    AND v.access_id IN (SELECT l.access_id FROM host_line l
                                          JOIN server_group g ON g.server_id = l.server_id
                                         WHERE g.group_name = $1 AND ($2 = '' OR g.tenant_id = $2)
                                         UNION
                                        SELECT access_id FROM group_access
                                         WHERE group_name = $1 AND ($2 = '' OR tenant_id = $2))) AS listed",
    )
    .bind(&scope.group)
    .bind(scope.tenant())
    .fetch_one(conn)
    .await?;
    Ok(ListState { keys: row.int("number")?, changed_at: row.int("changed_at")? })
}

/// Whether a server is or was in the group.
pub async fn is_group(conn: &mut Connection, scope: &Scope) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT server_id FROM server_group WHERE group_name = $1 AND ($2 = '' OR tenant_id = $2) LIMIT 1",
    )
    .bind(&scope.group)
    .bind(scope.tenant())
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// Groups with servers, or with servers that were, after `after`, by name.
pub async fn groups(
    conn: &mut Connection,
    tenant: Option<&TenantId>,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, u64)>, Error> {
    let rows = sqlx::query(
        "SELECT group_name, SUM(CASE WHEN left_at IS NULL THEN 1 ELSE 0 END) AS number FROM server_group
          WHERE group_name > $1 AND ($2 = '' OR tenant_id = $2)
          GROUP BY group_name ORDER BY group_name LIMIT $3",
    )
    .bind(after)
    .bind(tenant.map_or("", TenantId::as_str))
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.text("group_name")?, row.int("number")?))).collect()
}

/// The group that the server is in now, where it is known.
pub async fn group_of(conn: &mut Connection, server: &ServerId) -> Result<Option<String>, Error> {
    let row = sqlx::query("SELECT group_name FROM server_group WHERE server_id = $1 AND left_at IS NULL")
        .bind(server.as_str())
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.text("group_name")).transpose()
}

/// The server is in this group, and in no other any more.
pub async fn join(tx: &mut Tx, server: &ServerId, group: &str, tenant: &TenantId) -> Result<(), Error> {
    leave(tx, server).await?;
    sqlx::query(
        "INSERT INTO server_group (server_id, group_name, tenant_id) VALUES ($1, $2, $3)
         ON CONFLICT (server_id, group_name) DO UPDATE SET left_at = NULL, tenant_id = $3",
    )
    .bind(server.as_str())
    .bind(group)
    .bind(tenant.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The server is there no more.
pub async fn leave(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE server_group SET left_at = $2 WHERE server_id = $1 AND left_at IS NULL")
        .bind(server.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Every server that is known to be there, with its group.
pub async fn members(conn: &mut Connection) -> Result<Vec<(ServerId, String)>, Error> {
    let rows = sqlx::query("SELECT server_id, group_name FROM server_group WHERE left_at IS NULL")
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Ok((row.text("server_id")?, row.text("group_name")?))).collect()
}

/// A managed server may have a file: it is to be looked at.
pub async fn expect_file(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO revoked_keys_file (server_id, path, etag, reason, attempts, next_at)
         VALUES ($1, '', '', '', 0, 0) ON CONFLICT (server_id) DO NOTHING",
    )
    .bind(server.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Nobody manages the server any more.
pub async fn forget_file(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    sqlx::query("DELETE FROM revoked_keys_file WHERE server_id = $1")
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn file(conn: &mut Connection, server: &ServerId) -> Result<Option<ListFile>, Error> {
    let row = sqlx::query(
        "SELECT server_id, path, etag, reason, attempts, next_at FROM revoked_keys_file WHERE server_id = $1",
    )
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(list_file).transpose()
}

pub async fn files(conn: &mut Connection) -> Result<Vec<ServerId>, Error> {
    let rows = sqlx::query("SELECT server_id FROM revoked_keys_file").fetch_all(conn).await?;
    rows.iter().map(|row| row.text("server_id")).collect()
}

/// The server's sshd reads a file where none of ours is known: it is looked at now, whatever a look before came to.
pub async fn hurry_first(tx: &mut Tx, server: &ServerId) -> Result<(), Error> {
    sqlx::query("UPDATE revoked_keys_file SET next_at = 0 WHERE server_id = $1 AND path = ''")
        .bind(server.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What was found or written last.
pub async fn set_file(tx: &mut Tx, file: &ListFile, written: bool) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE revoked_keys_file SET path = $2, etag = $3, reason = $4, attempts = $5, next_at = $6,
                written_at = CASE WHEN $7 = 1 THEN CAST($8 AS BIGINT) ELSE written_at END
          WHERE server_id = $1",
    )
    .bind(file.server.as_str())
    .bind(&file.path)
    .bind(&file.etag)
    .bind(&file.reason)
    .bind(i64::from(file.attempts))
    .bind(file.next_at.micros())
    .bind(i64::from(written))
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Files whose time has come.
pub async fn due_files(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<ServerId>, Error> {
    let rows =
        sqlx::query("SELECT server_id FROM revoked_keys_file WHERE next_at <= $1 ORDER BY next_at LIMIT $2")
            .bind(now.micros())
            .bind(limit)
            .fetch_all(conn)
            .await?;
    rows.iter().map(|row| row.text("server_id")).collect()
}

/// Groups that hosts read files of.
pub async fn groups_with_files(conn: &mut Connection) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT g.group_name FROM revoked_keys_file f
           JOIN server_group g ON g.server_id = f.server_id AND g.left_at IS NULL
          WHERE f.path <> ''",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("group_name")).collect()
}

/// Whether a file of the group holds another list and is not on its way already.
pub async fn is_stale(conn: &mut Connection, group: &str, etag: &str) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT f.server_id FROM revoked_keys_file f
           JOIN server_group g ON g.server_id = f.server_id AND g.left_at IS NULL
          WHERE g.group_name = $1 AND f.path <> '' AND f.etag <> $2 AND f.attempts = 0 AND f.next_at > 0 LIMIT 1",
    )
    .bind(group)
    .bind(etag)
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// The files of a group that hold another list are due now; those that failed wait for their time.
pub async fn hurry_files(tx: &mut Tx, group: &str, etag: &str) -> Result<(), Error> {
    sqlx::query(
        "UPDATE revoked_keys_file SET next_at = 0
          WHERE path <> '' AND etag <> $2 AND attempts = 0
            AND server_id IN (SELECT server_id FROM server_group WHERE group_name = $1 AND left_at IS NULL)",
    )
    .bind(group)
    .bind(etag)
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn list_file(row: &AnyRow) -> Result<ListFile, Error> {
    Ok(ListFile {
        server: row.text("server_id")?,
        path: row.text("path")?,
        etag: row.text("etag")?,
        reason: row.text("reason")?,
        attempts: row.int("attempts")?,
        next_at: row.int("next_at")?,
    })
}
