//! The use cases, named as people say them.

pub mod credentials;
pub mod custody;
pub mod directory;
pub mod find;
pub mod identity;
pub mod replayed;
pub mod servers;
pub mod tenants;
