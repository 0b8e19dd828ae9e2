//! Invitations: the code is stored as its SHA-256 only.

use keywright_domain::caller::Role;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{InvitationId, TenantId};
use keywright_storage::{Columns, Db, Error, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub id: InvitationId,
    pub tenant: TenantId,
    pub role: Role,
    pub email: String,
    pub code_hash: String,
    pub created_by: String,
    pub expires_at: Instant,
}

pub async fn insert(tx: &mut Tx, invitation: &Invitation) -> Result<(), Error> {
    let now = tx.now().micros();
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
    .bind(now)
    .bind(invitation.expires_at.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The invitation behind a code, if it can still be redeemed.
pub async fn open(db: &Db, code_hash: &str, now: Instant) -> Result<Option<Invitation>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, role, email, code_hash, created_by, expires_at FROM invitation
          WHERE code_hash = $1 AND redeemed_at IS NULL AND expires_at > $2",
    )
    .bind(code_hash)
    .bind(now.micros())
    .fetch_optional(db.read())
    .await?;
    row.map(|row| {
        Ok(Invitation {
            id: row.text("id")?,
            tenant: row.text("tenant_id")?,
            role: row.text("role")?,
            email: row.text("email")?,
            code_hash: row.text("code_hash")?,
            created_by: row.text("created_by")?,
            expires_at: row.int("expires_at")?,
        })
    })
    .transpose()
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
