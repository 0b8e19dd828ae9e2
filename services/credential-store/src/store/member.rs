//! Who holds a role in which tenant, how he came in, and whether he was removed.

use keywright_domain::caller::{PrincipalKind, Role};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{PrincipalId, TenantId};
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

/// The strongest first, as the table `role_rank` says it.
const RANKS: [(Role, i64); 5] = [
    (Role::TenantOwner, 1),
    (Role::TenantAdmin, 2),
    (Role::TenantMember, 3),
    (Role::Auditor, 4),
    (Role::InternalService, 5),
];

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    Invitation,
    Oidc,
    /// By a token that somebody else created.
    Token,
}

impl Entrance {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Oidc => "oidc",
            Self::Token => "token",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub principal: PrincipalId,
    pub name: String,
    pub kind: PrincipalKind,
    /// The strongest that he holds; of somebody who holds none any more, the strongest that he held.
    pub role: Role,
    pub source: String,
    pub created_at: Instant,
    pub last_used_at: Option<Instant>,
    pub removed_at: Option<Instant>,
}

/// Notes how somebody came in; the first way stays.
pub async fn join(
    tx: &mut Tx,
    tenant: &TenantId,
    principal: &PrincipalId,
    entrance: Entrance,
) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO member (tenant_id, principal_id, source, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id, principal_id) DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(principal.as_str())
    .bind(entrance.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether he was removed and not invited since.
pub async fn is_removed(tx: &mut Tx, tenant: &TenantId, principal: &PrincipalId) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT removed_at FROM member WHERE tenant_id = $1 AND principal_id = $2 AND removed_at IS NOT NULL",
    )
    .bind(tenant.as_str())
    .bind(principal.as_str())
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.is_some())
}

/// Keeps the first instant of removal.
pub async fn remove(tx: &mut Tx, tenant: &TenantId, principal: &PrincipalId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE member SET removed_at = COALESCE(removed_at, $3) WHERE tenant_id = $1 AND principal_id = $2",
    )
    .bind(tenant.as_str())
    .bind(principal.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Somebody who was removed and invited anew.
pub async fn readmit(tx: &mut Tx, tenant: &TenantId, principal: &PrincipalId) -> Result<(), Error> {
    sqlx::query("UPDATE member SET removed_at = NULL WHERE tenant_id = $1 AND principal_id = $2")
        .bind(tenant.as_str())
        .bind(principal.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// One member, whatever became of him.
pub async fn get(db: &Db, tenant: &TenantId, principal: &PrincipalId) -> Result<Option<Member>, Error> {
    let now = db.now().await?.micros();
    let row = sqlx::query(
        "SELECT m.principal_id, p.name, p.kind, m.source, m.created_at, m.removed_at,
                CAST(COALESCE(MIN(CASE WHEN t.revoked_at IS NULL AND t.expires_at > $3 THEN r.rank END), MIN(r.rank)) AS BIGINT) AS rank,
                MAX(t.last_used_at) AS last_used_at
           FROM member m JOIN principal p ON p.id = m.principal_id
           JOIN token t ON t.tenant_id = m.tenant_id AND t.principal_id = m.principal_id
           JOIN role_rank r ON r.role = t.role
          WHERE m.tenant_id = $1 AND m.principal_id = $2
          GROUP BY m.principal_id, p.name, p.kind, m.source, m.created_at, m.removed_at",
    )
    .bind(tenant.as_str())
    .bind(principal.as_str())
    .bind(now)
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

/// Those who hold a role, can come back by single sign-on, or were removed; older than `before`, newest first.
pub async fn list(
    db: &Db,
    tenant: &TenantId,
    before: (i64, String),
    limit: i64,
) -> Result<Vec<Member>, Error> {
    let now = db.now().await?.micros();
    let rows = sqlx::query(
        "SELECT m.principal_id, p.name, p.kind, m.source, m.created_at, m.removed_at,
                CAST(COALESCE(MIN(CASE WHEN t.revoked_at IS NULL AND t.expires_at > $2 THEN r.rank END), MIN(r.rank)) AS BIGINT) AS rank,
                MAX(t.last_used_at) AS last_used_at
           FROM member m JOIN principal p ON p.id = m.principal_id
           JOIN token t ON t.tenant_id = m.tenant_id AND t.principal_id = m.principal_id
           JOIN role_rank r ON r.role = t.role
          WHERE m.tenant_id = $1 AND (m.created_at < $3 OR (m.created_at = $3 AND m.principal_id < $4))
          GROUP BY m.principal_id, p.name, p.kind, m.source, m.created_at, m.removed_at
         HAVING m.removed_at IS NOT NULL OR m.source = 'oidc'
             OR MAX(CASE WHEN t.revoked_at IS NULL AND t.expires_at > $2 THEN 1 ELSE 0 END) = 1
          ORDER BY m.created_at DESC, m.principal_id DESC LIMIT $5",
    )
    .bind(tenant.as_str())
    .bind(now)
    .bind(before.0)
    .bind(before.1)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Member, Error> {
    let rank: i64 = row.int("rank")?;
    let role = RANKS.iter().find(|(_, of)| *of == rank).map(|(role, _)| *role);
    Ok(Member {
        principal: row.text("principal_id")?,
        name: row.text("name")?,
        kind: row.text("kind")?,
        role: role.ok_or(Error::Corrupt("rank".to_owned()))?,
        source: row.text("source")?,
        created_at: row.int("created_at")?,
        last_used_at: row.opt_int("last_used_at")?,
        removed_at: row.opt_int("removed_at")?,
    })
}
