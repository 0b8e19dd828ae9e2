//! What Keywright's own services know of servers and credentials, and the references they hold on them.

pub mod close_tenant;
pub mod list;
pub mod management;
pub mod mismatch;
pub mod read;
pub mod record_test;
pub mod reference;
pub mod route;
pub mod targets;
