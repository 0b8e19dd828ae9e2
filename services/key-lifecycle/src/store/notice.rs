//! Notices, as they are written with what they tell of.

use crate::model::Notice;
use keywright_domain::ids::TenantId;
use keywright_storage::{Error, Tx};

/// Nothing happens where the same was told before.
pub async fn write(tx: &mut Tx, notice: &Notice) -> Result<(), Error> {
    let details = serde_json::to_string(&notice.details).unwrap_or_else(|_| "{}".to_owned());
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO notice (dedup, event, tenant_id, subject, details, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (dedup) DO NOTHING",
    )
    .bind(&notice.dedup)
    .bind(notice.event)
    .bind(notice.tenant.as_ref().map_or("", TenantId::as_str))
    .bind(&notice.subject)
    .bind(details)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}
