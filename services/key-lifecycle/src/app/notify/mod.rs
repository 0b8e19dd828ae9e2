//! Who is told of what: targets, their secrets, tests of them, what was sent to them; and notices of other services.

pub mod accept_notice;
pub mod create_target;
pub mod delete_target;
pub mod read_targets;
pub mod rotate_secret;
pub mod test_target;

use crate::model::Target;
use crate::store::{self, Connection};
use keywright_domain::caller::Caller;
use keywright_domain::ids::NotificationTargetId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;

/// The target, if the caller may do this with it; another's does not exist for him.
async fn allowed(
    conn: &mut Connection,
    guard: &Guard,
    caller: &Caller,
    action: &str,
    id: &str,
) -> Result<Target, Failure> {
    let missing = || Failure::not_found(Reason::TargetNotFound, id);
    let found = match NotificationTargetId::parse(id) {
        Ok(id) => store::notification_target::find(conn, &id).await?.filter(|target| !target.deleted),
        Err(_) => None,
    };
    let Some(target) = found else {
        // Whoever may do it nowhere is told so first.
        let own = caller.principal.tenant.as_ref();
        guard.allow(caller, action, own, id, Reason::TargetNotFound).await?;
        return Err(missing());
    };
    // The platform's own do not exist for whoever is bound to a tenant.
    if target.tenant.is_none() && caller.principal.is_tenant_bound() {
        let own = caller.principal.tenant.as_ref();
        guard.allow(caller, action, own, id, Reason::TargetNotFound).await?;
        return Err(missing());
    }
    guard.allow(caller, action, target.tenant.as_ref(), id, Reason::TargetNotFound).await?;
    Ok(target)
}
