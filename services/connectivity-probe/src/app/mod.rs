//! The use cases of the probe.

pub mod list_tests;
pub mod prove_login;
pub mod prove_offer;
mod receipt;
pub mod scan_server;
pub mod scan_target;
pub mod test_draft;
pub mod test_server;

pub use receipt::Receipt;
