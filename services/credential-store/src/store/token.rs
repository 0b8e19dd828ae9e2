//! Tokens and the principals that they stand for. The secret itself is not stored: it is a signature.

use crate::store::member::{self, Entrance};
use keywright_domain::caller::{PrincipalKind, Role};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{PrincipalId, TenantId, TokenId};
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub principal: PrincipalId,
    pub kind: PrincipalKind,
    pub role: Role,
    pub tenant: Option<TenantId>,
    pub permissions: Vec<String>,
    pub created_at: Instant,
    pub expires_at: Instant,
    pub revoked_at: Option<Instant>,
    pub last_used_at: Option<Instant>,
    pub created_by: String,
    /// The token that it was made with, and with which it ends.
    pub parent: Option<TokenId>,
    /// It holds only over a connection with this client certificate.
    pub client_certificate: Option<String>,
}

impl Token {
    /// Neither revoked nor expired.
    pub fn is_live(&self, now: Instant) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }
}

pub async fn insert_principal(
    tx: &mut Tx,
    id: &PrincipalId,
    name: &str,
    kind: PrincipalKind,
) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("INSERT INTO principal (id, name, kind, created_at) VALUES ($1, $2, $3, $4)")
        .bind(id.as_str())
        .bind(name)
        .bind(kind.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Whether anybody exists yet.
pub async fn any_principal(tx: &mut Tx) -> Result<bool, Error> {
    Ok(sqlx::query("SELECT id FROM principal LIMIT 1").fetch_optional(tx.conn()).await?.is_some())
}

/// Whoever holds a token in a tenant is a member of it.
pub async fn insert(tx: &mut Tx, token: &Token) -> Result<(), Error> {
    if let Some(tenant) = &token.tenant {
        member::join(tx, tenant, &token.principal, Entrance::Token).await?;
    }
    sqlx::query(
        "INSERT INTO token (id, name, principal_id, role, tenant_id, permissions, created_at, expires_at, created_by,
                            parent_id, client_certificate)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(token.id.as_str())
    .bind(&token.name)
    .bind(token.principal.as_str())
    .bind(token.role.as_str())
    .bind(token.tenant.as_ref().map(TenantId::as_str))
    .bind(token.permissions.join(" "))
    .bind(token.created_at.micros())
    .bind(token.expires_at.micros())
    .bind(&token.created_by)
    .bind(token.parent.as_ref().map(TokenId::as_str))
    .bind(token.client_certificate.as_deref())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn get(db: &Db, id: &TokenId) -> Result<Option<Token>, Error> {
    let row = sqlx::query(
        "SELECT t.id, t.name, t.principal_id, p.kind, t.role, t.tenant_id, t.permissions, t.created_at, t.expires_at,
                t.revoked_at, t.last_used_at, t.created_by, t.parent_id, t.client_certificate
           FROM token t JOIN principal p ON p.id = t.principal_id WHERE t.id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

/// Of one tenant, or (none) of the platform; older than `before`, newest first.
pub async fn list(
    db: &Db,
    tenant: Option<&TenantId>,
    before: (i64, String),
    limit: i64,
) -> Result<Vec<Token>, Error> {
    let rows = sqlx::query(
        "SELECT t.id, t.name, t.principal_id, p.kind, t.role, t.tenant_id, t.permissions, t.created_at, t.expires_at,
                t.revoked_at, t.last_used_at, t.created_by, t.parent_id, t.client_certificate
           FROM token t JOIN principal p ON p.id = t.principal_id
          WHERE (t.created_at < $1 OR (t.created_at = $1 AND t.id < $2)) AND COALESCE(t.tenant_id, '') = $3
          ORDER BY t.created_at DESC, t.id DESC LIMIT $4",
    )
    .bind(before.0)
    .bind(before.1)
    .bind(tenant.map_or("", TenantId::as_str))
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

/// Whether a person is owner of the tenant and can still come in.
pub async fn has_live_owner(tx: &mut Tx, tenant: &TenantId) -> Result<bool, Error> {
    let now = tx.now().micros();
    let row = sqlx::query(
        "SELECT t.id FROM token t JOIN principal p ON p.id = t.principal_id
          WHERE t.tenant_id = $1 AND t.role = 'tenant_owner' AND p.kind = 'user'
            AND t.revoked_at IS NULL AND t.expires_at > $2 LIMIT 1",
    )
    .bind(tenant.as_str())
    .bind(now)
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.is_some())
}

/// Whether a person is the one owner of the tenant who can still come in.
pub async fn is_last_owner(tx: &mut Tx, tenant: &TenantId, who: &PrincipalId) -> Result<bool, Error> {
    let now = tx.now().micros();
    let rows = sqlx::query(
        "SELECT DISTINCT t.principal_id FROM token t JOIN principal p ON p.id = t.principal_id
          WHERE t.tenant_id = $1 AND t.role = 'tenant_owner' AND p.kind = 'user'
            AND t.revoked_at IS NULL AND t.expires_at > $2 LIMIT 2",
    )
    .bind(tenant.as_str())
    .bind(now)
    .fetch_all(tx.conn())
    .await?;
    let owners: Vec<PrincipalId> =
        rows.iter().map(|row| row.text("principal_id")).collect::<Result<_, _>>()?;
    Ok(owners.len() == 1 && owners.first() == Some(who))
}

/// Whether it is there, neither revoked nor expired.
pub async fn is_live(tx: &mut Tx, id: &TokenId) -> Result<bool, Error> {
    let now = tx.now().micros();
    let row = sqlx::query("SELECT id FROM token WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2")
        .bind(id.as_str())
        .bind(now)
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.is_some())
}

/// Revokes a token, and those that were made with it, and so on. The first instant stays.
pub async fn revoke(tx: &mut Tx, id: &TokenId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "WITH RECURSIVE line AS (
             SELECT t.id AS id FROM token t WHERE t.id = $1
             UNION SELECT c.id FROM token c JOIN line ON c.parent_id = line.id)
         UPDATE token SET revoked_at = $2, ended_at = $2
          WHERE revoked_at IS NULL AND id IN (SELECT line.id FROM line)",
    )
    .bind(id.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Revokes a token; what was made with it stays.
pub async fn revoke_alone(tx: &mut Tx, id: &TokenId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE token SET revoked_at = $2, ended_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Revokes all that somebody holds in a tenant, and what was made with it.
pub async fn revoke_held(tx: &mut Tx, tenant: &TenantId, who: &PrincipalId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "WITH RECURSIVE line AS (
             SELECT t.id AS id FROM token t WHERE t.tenant_id = $1 AND t.principal_id = $2
             UNION SELECT c.id FROM token c JOIN line ON c.parent_id = line.id)
         UPDATE token SET revoked_at = $3, ended_at = $3
          WHERE revoked_at IS NULL AND id IN (SELECT line.id FROM line)",
    )
    .bind(tenant.as_str())
    .bind(who.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Revokes all that anybody holds in a tenant: it is deleted.
pub async fn revoke_tenant(tx: &mut Tx, tenant: &TenantId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE token SET revoked_at = $2, ended_at = $2 WHERE tenant_id = $1 AND revoked_at IS NULL",
    )
    .bind(tenant.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends what was exchanged for a tenant's tokens, everywhere, without revoking them: it is suspended.
pub async fn end_tenant(tx: &mut Tx, tenant: &TenantId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE token SET ended_at = $2 WHERE tenant_id = $1 AND revoked_at IS NULL AND expires_at > $2",
    )
    .bind(tenant.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What ended since `since`, and when.
pub async fn ended_since(db: &Db, since: Instant) -> Result<Vec<(TokenId, Instant)>, Error> {
    let rows = sqlx::query("SELECT id, ended_at FROM token WHERE ended_at >= $1")
        .bind(since.micros())
        .fetch_all(db.read())
        .await?;
    rows.iter().map(|row| Ok((row.text("id")?, row.int("ended_at")?))).collect()
}

/// Notes the last use, to the minute.
pub async fn touch(tx: &mut Tx, id: &TokenId) -> Result<(), Error> {
    let now = tx.now().micros();
    let now = now.saturating_sub(now.rem_euclid(60_000_000));
    sqlx::query("UPDATE token SET last_used_at = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Token, Error> {
    let permissions: String = row.text("permissions")?;
    Ok(Token {
        id: row.text("id")?,
        name: row.text("name")?,
        principal: row.text("principal_id")?,
        kind: row.text("kind")?,
        role: row.text("role")?,
        tenant: row.opt_text("tenant_id")?,
        permissions: permissions.split_whitespace().map(ToOwned::to_owned).collect(),
        created_at: row.int("created_at")?,
        expires_at: row.int("expires_at")?,
        revoked_at: row.opt_int("revoked_at")?,
        last_used_at: row.opt_int("last_used_at")?,
        created_by: row.text("created_by")?,
        parent: row.opt_text("parent_id")?,
        client_certificate: row.opt_text("client_certificate")?,
    })
}
