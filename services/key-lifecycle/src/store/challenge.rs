//! Nonces that wait to be signed.

use super::Connection;
use crate::model::Challenge;
use keywright_domain::ids::{ChallengeId, TenantId};
use keywright_storage::{Columns, Error, Tx};

pub async fn insert(tx: &mut Tx, challenge: &Challenge) -> Result<(), Error> {
    sqlx::query("INSERT INTO key_challenge (id, tenant_id, nonce, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(challenge.id.as_str())
        .bind(challenge.tenant.as_str())
        .bind(&challenge.nonce)
        .bind(challenge.expires_at.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// It is used up; None where the tenant has no such one, or its time is over.
pub async fn take(tx: &mut Tx, tenant: &TenantId, id: &ChallengeId) -> Result<Option<Challenge>, Error> {
    let now = tx.now().micros();
    let row = sqlx::query(
        "DELETE FROM key_challenge WHERE id = $1 AND tenant_id = $2 AND expires_at > $3
      RETURNING id, tenant_id, nonce, expires_at",
    )
    .bind(id.as_str())
    .bind(tenant.as_str())
    .bind(now)
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| {
        Ok(Challenge {
            id: row.text("id")?,
            tenant: row.text("tenant_id")?,
            nonce: row.text("nonce")?,
            expires_at: row.int("expires_at")?,
        })
    })
    .transpose()
}

pub async fn open(conn: &mut Connection, tenant: &TenantId) -> Result<i64, Error> {
    let row = sqlx::query("SELECT COUNT(*) AS open FROM key_challenge WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_one(conn)
        .await?;
    row.int("open")
}

pub async fn forget_old(tx: &mut Tx) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("DELETE FROM key_challenge WHERE expires_at <= $1").bind(now).execute(tx.conn()).await?;
    Ok(())
}
