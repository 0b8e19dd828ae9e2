//! Policies: what holds for an access.

use super::Connection;
use crate::model::Settings;
use keywright_domain::ids::{AccessId, TenantId};
use keywright_storage::Error;

/// Platform, tenant and access applied in this order; without an access, what a new one of the tenant gets.
pub async fn effective(
    _conn: &mut Connection,
    _tenant: &TenantId,
    _access: Option<&AccessId>,
) -> Result<Settings, Error> {
    Ok(Settings::default())
}
