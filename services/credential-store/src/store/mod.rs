//! The tables, one file an aggregate.

pub mod credential;
pub mod invitation;
mod labels;
pub mod material;
pub mod server;
pub mod tenant;
pub mod token;
pub mod usage;
pub mod version;

#[cfg(test)]
pub mod testing;
