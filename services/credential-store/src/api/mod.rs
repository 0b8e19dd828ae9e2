//! gRPC: decode, one use case, encode. One file a noun.

pub mod console;
pub mod credential;
pub mod custody;
pub mod custody_admin;
pub mod directory;
pub mod exchange;
pub mod invitation;
pub mod member;
pub mod oidc;
pub mod resolve;
pub mod revocation_feed;
pub mod server;
pub mod session;
pub mod signing;
pub mod tenant;
pub mod token;
