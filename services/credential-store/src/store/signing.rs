//! Which credentials sign logins, and for which servers.

use super::credential;
use crate::domain::signing::{SigningKey, SigningServer, access};
use keywright_domain::ids::{CredentialId, ServerId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// Credentials with a usable key that an active server uses, newest first, one row more than the page holds.
pub async fn list(db: &Db, tenant: Option<&TenantId>, page: &Page) -> Result<Vec<SigningKey>, Error> {
    let (before, before_id) = page.key();
    let mut conn = db.read().acquire().await?;
    let rows = sqlx::query(
        "SELECT c.id
           FROM credential c JOIN credential_version v ON v.id = c.current_version_id
          WHERE c.tenant_id IS NOT NULL AND ($1 = '' OR c.tenant_id = $1)
            AND v.state IN ('staged', 'active', 'grace') AND v.destroyed_at IS NULL AND v.compromised_at IS NULL
            AND ((c.kind = 'saved' AND EXISTS (
                    SELECT 1 FROM server s
                     WHERE s.bound_credential_id = c.id AND s.tenant_id = c.tenant_id AND s.lifecycle = 'ACTIVE'))
              OR (c.kind = 'managed' AND c.owner LIKE 'acc!_%' ESCAPE '!' AND EXISTS (
                    SELECT 1 FROM held_reference r JOIN server s ON s.id = r.subject
                     WHERE r.owner = c.owner AND r.held_by = '' AND s.tenant_id = c.tenant_id
                       AND s.lifecycle = 'ACTIVE')))
            AND (c.created_at < $2 OR (c.created_at = $2 AND c.id < $3))
          ORDER BY c.created_at DESC, c.id DESC
          LIMIT $4",
    )
    .bind(tenant.map_or("", TenantId::as_str))
    .bind(before)
    .bind(before_id)
    .bind(page.size.saturating_add(1))
    .fetch_all(&mut *conn)
    .await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: CredentialId = row.text("id")?;
        let Some(credential) = credential::read(&mut conn, &id).await? else { continue };
        let rows = match access(&credential) {
            Some(access) => servers_of_access(&mut conn, &id, access).await?,
            None => servers_of_saved(&mut conn, &id).await?,
        };
        keys.push(SigningKey { credential, servers: grouped(&rows)? });
    }
    Ok(keys)
}

/// One row a pinned host key.
async fn servers_of_saved(conn: &mut AnyConnection, id: &CredentialId) -> Result<Vec<AnyRow>, Error> {
    Ok(sqlx::query(
        "SELECT s.id, s.name, COALESCE(s.bound_username, c.username, '') AS username, k.public_key
           FROM server s JOIN credential c ON c.id = s.bound_credential_id LEFT JOIN host_key k ON k.server_id = s.id
          WHERE c.id = $1 AND s.tenant_id = c.tenant_id AND s.lifecycle = 'ACTIVE'
          ORDER BY s.id, k.fingerprint",
    )
    .bind(id.as_str())
    .fetch_all(conn)
    .await?)
}

/// The same for the hosts of an access.
async fn servers_of_access(
    conn: &mut AnyConnection,
    id: &CredentialId,
    access: &str,
) -> Result<Vec<AnyRow>, Error> {
    Ok(sqlx::query(
        "SELECT s.id, s.name, '' AS username, k.public_key
           FROM server s JOIN credential c ON c.tenant_id = s.tenant_id LEFT JOIN host_key k ON k.server_id = s.id
          WHERE c.id = $1 AND s.lifecycle = 'ACTIVE'
            AND EXISTS (SELECT 1 FROM held_reference r WHERE r.subject = s.id AND r.owner = $2 AND r.held_by = '')
          ORDER BY s.id, k.fingerprint",
    )
    .bind(id.as_str())
    .bind(access)
    .fetch_all(conn)
    .await?)
}

fn grouped(rows: &[AnyRow]) -> Result<Vec<SigningServer>, Error> {
    let mut servers: Vec<SigningServer> = Vec::new();
    for row in rows {
        let server: ServerId = row.text("id")?;
        if servers.last().is_none_or(|last| last.server != server) {
            let (name, username) = (row.text("name")?, row.text("username")?);
            servers.push(SigningServer { server, name, username, host_keys: Vec::new() });
        }
        if let (Some(last), Some(key)) = (servers.last_mut(), row.opt_text("public_key")?) {
            last.host_keys.push(key);
        }
    }
    Ok(servers)
}

/// Whether the server is among the hosts of the access.
pub async fn holds(db: &Db, access: &str, server: &ServerId) -> Result<bool, Error> {
    let mut conn = db.read().acquire().await?;
    held(&mut conn, access, server).await
}

pub async fn holds_in(tx: &mut Tx, access: &str, server: &ServerId) -> Result<bool, Error> {
    held(tx.conn(), access, server).await
}

async fn held(conn: &mut AnyConnection, access: &str, server: &ServerId) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT r.subject FROM held_reference r WHERE r.subject = $1 AND r.owner = $2 AND r.held_by = '' LIMIT 1",
    )
    .bind(server.as_str())
    .bind(access)
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}
