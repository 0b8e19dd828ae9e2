//! Invitations: the code is stored as its SHA-256 only.

use keywright_domain::caller::Role;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{InvitationId, TenantId};
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub id: InvitationId,
    pub tenant: TenantId,
    pub role: Role,
    pub email: String,
    pub code_hash: String,
    pub created_by: String,
    pub created_at: Instant,
    pub expires_at: Instant,
    pub redeemed_at: Option<Instant>,
}

pub async fn insert(tx: &mut Tx, invitation: &Invitation) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO invitation (id, tenant_id, role, email, code_hash, created_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(invitation.id.as_str())
    .bind(invitation.tenant.as_str())
    .bind(invitation.role.as_str())
    .bind(&invitation.email)
    .bind(&invitation.code_hash)
    .bind(&invitation.created_by)
    .bind(invitation.created_at.micros())
    .bind(invitation.expires_at.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The invitation behind a code, if it can still be redeemed.
pub async fn open(db: &Db, code_hash: &str, now: Instant) -> Result<Option<Invitation>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, role, email, code_hash, created_by, created_at, expires_at, redeemed_at FROM invitation
          WHERE code_hash = $1 AND redeemed_at IS NULL AND expires_at > $2",
    )
    .bind(code_hash)
    .bind(now.micros())
    .fetch_optional(db.read())
    .await?;
    row.as_ref().map(read).transpose()
}

/// Of one tenant; older than `before`, newest first.
pub async fn list(
    db: &Db,
    tenant: &TenantId,
    before: (i64, String),
    limit: i64,
) -> Result<Vec<Invitation>, Error> {
    let rows = sqlx::query(
        "SELECT id, tenant_id, role, email, code_hash, created_by, created_at, expires_at, redeemed_at FROM invitation
          WHERE tenant_id = $1 AND (created_at < $2 OR (created_at = $2 AND id < $3))
          ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(before.0)
    .bind(before.1)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

/// An invitation into the tenant that is open for this address.
pub async fn open_for(tx: &mut Tx, tenant: &TenantId, email: &str) -> Result<Option<InvitationId>, Error> {
    let now = tx.now().micros();
    let row = sqlx::query(
        "SELECT id FROM invitation
          WHERE tenant_id = $1 AND LOWER(email) = LOWER($2) AND redeemed_at IS NULL AND expires_at > $3 LIMIT 1",
    )
    .bind(tenant.as_str())
    .bind(email)
    .bind(now)
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| row.text("id")).transpose()
}

/// Withdraws it; false if it is not there, or was redeemed.
pub async fn withdraw(tx: &mut Tx, tenant: &TenantId, id: &InvitationId) -> Result<bool, Error> {
    let done = sqlx::query("DELETE FROM invitation WHERE id = $1 AND tenant_id = $2 AND redeemed_at IS NULL")
        .bind(id.as_str())
        .bind(tenant.as_str())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// All that are open, of a tenant that is deleted.
pub async fn withdraw_all(tx: &mut Tx, tenant: &TenantId) -> Result<(), Error> {
    sqlx::query("DELETE FROM invitation WHERE tenant_id = $1 AND redeemed_at IS NULL")
        .bind(tenant.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Invitation, Error> {
    Ok(Invitation {
        id: row.text("id")?,
        tenant: row.text("tenant_id")?,
        role: row.text("role")?,
        email: row.text("email")?,
        code_hash: row.text("code_hash")?,
        created_by: row.text("created_by")?,
        created_at: row.int("created_at")?,
        expires_at: row.int("expires_at")?,
        redeemed_at: row.opt_int("redeemed_at")?,
    })
}

/// Redeems it, once: false if another was first.
pub async fn redeem(tx: &mut Tx, id: &InvitationId) -> Result<bool, Error> {
    let now = tx.now().micros();
    let done = sqlx::query("UPDATE invitation SET redeemed_at = $2 WHERE id = $1 AND redeemed_at IS NULL")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() == 1)
}
