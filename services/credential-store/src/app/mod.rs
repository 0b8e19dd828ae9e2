//! The use cases, named as people say them.

pub mod credentials;
pub mod custody;
pub mod custody_admin;
pub mod directory;
pub mod find;
pub mod identity;
pub mod listing;
pub mod replayed;
pub mod secretly;
pub mod servers;
pub mod tenants;
