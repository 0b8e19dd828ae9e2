//! The use cases of the probe.

pub mod assess_server;
pub mod cancel_fleet_test;
pub mod check_fleet_work;
pub mod delete_heartbeat;
pub mod list_tests;
pub mod prove_login;
pub mod prove_offer;
pub mod read_fleet_tests;
pub mod read_heartbeats;
mod receipt;
pub mod scan_server;
pub mod scan_target;
pub mod set_heartbeat;
pub mod start_fleet_test;
pub mod supply_signature;
pub mod test_draft;
pub mod test_server;

pub use receipt::Receipt;

use crate::adapters::directory::{Directory, Server};
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;

/// A server that the caller may do this with. Another tenant's does not exist for him.
async fn server(
    directory: &Directory,
    guard: &Guard,
    caller: &Caller,
    action: &str,
    id: &str,
) -> Result<Server, Failure> {
    let server = directory.server(caller, id).await?;
    guard.allow(caller, action, Some(&server.tenant), server.id.as_str(), Reason::ServerNotFound).await?;
    Ok(server)
}
