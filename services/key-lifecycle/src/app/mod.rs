//! What users and other services ask for: one file per use case, read top-down: authorize, parse, intend, one
//! transaction, return.

pub mod acknowledge_download;
pub mod add_host;
pub mod campaign;
pub mod check_work;
pub mod deprovision;
pub mod download_key;
pub mod freeze;
pub mod gates;
pub mod list_access;
pub mod manage_server;
pub mod notify;
pub mod offboard_tenant;
pub mod overview;
pub mod policy;
pub mod possession;
pub mod provision_access;
pub mod read_key_use;
pub mod read_krl;
pub mod read_work;
pub mod recover;
pub mod regenerate_key;
pub mod release_server;
pub mod remove_host;
pub mod revoke_access;
pub mod rotate_management;
pub mod server_keys;
mod start;
pub mod start_rotation;
pub mod view;
pub mod view_access;
pub mod view_management;

pub use start::Starter;
