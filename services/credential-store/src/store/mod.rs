//! The tables, one file an aggregate.

pub mod credential;
pub mod filter;
pub mod host_key_notice;
pub mod invitation;
pub mod kek;
mod labels;
pub mod material;
pub mod member;
pub mod oidc;
pub mod reference;
pub mod restored;
pub mod server;
pub mod session;
pub mod signing;
pub mod switch;
pub mod tenant;
pub mod token;
pub mod usage;
pub mod version;

#[cfg(test)]
pub mod testing;
