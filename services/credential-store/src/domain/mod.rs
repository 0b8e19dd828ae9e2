//! What the store keeps, as types that cannot be wrong. No tonic, no SQL, no clock.

pub mod credential;
pub mod server;
pub mod text;
pub mod usage;
pub mod version;
