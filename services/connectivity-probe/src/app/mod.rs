//! The use cases of the probe.

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
pub mod test_draft;
pub mod test_server;

pub use receipt::Receipt;
