//! Brakes: whose automation is stopped.

use super::Connection;
use keywright_domain::ids::TenantId;
use keywright_storage::Error;

/// Whether no automatic work may begin for the tenant: its own brake or everybody's is pulled.
pub async fn is_frozen(conn: &mut Connection, tenant: &TenantId) -> Result<bool, Error> {
    let found = sqlx::query("SELECT tenant_id FROM freeze WHERE tenant_id = '' OR tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}
