//! What the store keeps, as types that cannot be wrong. No tonic, no SQL, no clock.

pub mod credential;
pub mod host_key_notice;
pub mod kek;
pub mod login;
pub mod server;
pub mod signing;
pub mod switch;
pub mod tenant;
pub mod text;
pub mod usage;
pub mod version;
