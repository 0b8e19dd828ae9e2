//! People who came through an identity provider, and the ID tokens that were spent.

use keywright_domain::caller::Role;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{PrincipalId, TenantId};
use keywright_storage::{Columns, Db, Error, Tx};

/// Somebody of an issuer.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
}

/// Who it is, if he was here before.
pub async fn principal(db: &Db, who: Subject<'_>) -> Result<Option<PrincipalId>, Error> {
    let row = sqlx::query("SELECT principal_id FROM oidc_identity WHERE issuer = $1 AND subject = $2")
        .bind(who.issuer)
        .bind(who.subject)
        .fetch_optional(db.read())
        .await?;
    row.map(|row| row.text("principal_id")).transpose()
}

/// What a login granted.
#[derive(Debug, Clone, Copy)]
pub struct Granted<'a> {
    pub email: &'a str,
    pub role: Role,
    pub tenant: Option<&'a TenantId>,
}

/// The first login of somebody; false if he came in beside us.
pub async fn insert(
    tx: &mut Tx,
    who: Subject<'_>,
    principal: &PrincipalId,
    granted: Granted<'_>,
) -> Result<bool, Error> {
    let now = tx.now().micros();
    let done = sqlx::query(
        "INSERT INTO oidc_identity (issuer, subject, principal_id, email, role, tenant_id, created_at, last_login_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (issuer, subject) DO NOTHING",
    )
    .bind(who.issuer)
    .bind(who.subject)
    .bind(principal.as_str())
    .bind(granted.email)
    .bind(granted.role.as_str())
    .bind(granted.tenant.map(TenantId::as_str))
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A further login, under the name that he has now.
pub async fn seen(
    tx: &mut Tx,
    principal: &PrincipalId,
    name: &str,
    granted: Granted<'_>,
) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE oidc_identity SET email = $2, role = $3, tenant_id = $4, last_login_at = $5 WHERE principal_id = $1",
    )
    .bind(principal.as_str())
    .bind(granted.email)
    .bind(granted.role.as_str())
    .bind(granted.tenant.map(TenantId::as_str))
    .bind(now)
    .execute(tx.conn())
    .await?;
    sqlx::query("UPDATE principal SET name = $2 WHERE id = $1")
        .bind(principal.as_str())
        .bind(name)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Whether somebody who was not removed came in as the tenant's owner at his last login: he can come back.
pub async fn has_owner(tx: &mut Tx, tenant: &TenantId) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT i.principal_id FROM oidc_identity i
           JOIN member m ON m.tenant_id = i.tenant_id AND m.principal_id = i.principal_id
          WHERE i.tenant_id = $1 AND i.role = 'tenant_owner' AND m.removed_at IS NULL LIMIT 1",
    )
    .bind(tenant.as_str())
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.is_some())
}

/// Spends an ID token, once: false if it was spent before. Forgets those that have expired.
pub async fn spend(tx: &mut Tx, digest: &str, ends: Instant) -> Result<bool, Error> {
    let now = tx.now().micros();
    sqlx::query("DELETE FROM oidc_spent WHERE expires_at < $1").bind(now).execute(tx.conn()).await?;
    let done = sqlx::query(
        "INSERT INTO oidc_spent (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(digest)
    .bind(ends.micros())
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The tenant of this id or external id.
pub async fn tenant(db: &Db, reference: &str) -> Result<Option<TenantId>, Error> {
    let row = sqlx::query(
        "SELECT id FROM tenant WHERE (id = $1 OR external_id = $1) AND state <> 'deleted'
          ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1",
    )
    .bind(reference)
    .fetch_optional(db.read())
    .await?;
    row.map(|row| row.text("id")).transpose()
}
