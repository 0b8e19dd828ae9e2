//! The use cases of the log.

pub mod alerts;
pub mod append;
pub mod close_interrupted;
pub mod contradicts;
pub mod erase_subject;
pub mod export_log;
pub mod forward;
pub mod get_event;
pub mod hand_on;
pub mod list_events;
pub mod places;
pub mod prove;
pub mod publish;
pub mod read_tree;
pub mod record_intent;
pub mod record_outcomes;
pub mod segments;
pub mod sign_checkpoints;
pub mod watch_events;

use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;

/// Whose part of the log the caller may have: that of the tenant he names or, where he names none, his own; a tenant's
/// people see nothing else. `tenant` is then the id, empty for the whole log.
async fn scope(
    guard: &Guard,
    caller: &Caller,
    action: &str,
    tenant: &mut String,
) -> Result<Option<TenantId>, Failure> {
    if tenant.is_empty() {
        *tenant = caller.principal.tenant.as_ref().map(ToString::to_string).unwrap_or_default();
    }
    let id = match tenant.as_str() {
        "" => None,
        id => Some(TenantId::parse(id).map_err(|_| Failure::not_found(Reason::TenantNotFound, id))?),
    };
    guard.allow(caller, action, id.as_ref(), tenant, Reason::TenantNotFound).await?;
    Ok(id)
}
