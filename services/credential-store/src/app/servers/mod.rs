//! Servers: registered, bound, pinned, deactivated, deleted.

pub mod bind;
pub mod deactivate;
pub mod delete;
pub mod host_keys;
pub mod jump_host;
pub mod read;
pub mod register;
pub mod rename;
pub mod tell_host_keys;
pub mod unbind;
