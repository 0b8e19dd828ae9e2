//! What ends when an installation is restored.

use keywright_storage::{Error, Tx};

/// Every token, console session and code, and every invitation that was not redeemed.
pub async fn end_all(tx: &mut Tx) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE token SET revoked_at = $1, ended_at = $1 WHERE revoked_at IS NULL")
        .bind(now)
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM console_code").execute(tx.conn()).await?;
    sqlx::query("DELETE FROM console_session").execute(tx.conn()).await?;
    sqlx::query("UPDATE invitation SET expires_at = $1 WHERE redeemed_at IS NULL AND expires_at > $1")
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}
