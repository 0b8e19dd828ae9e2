//! gRPC: decode, one use case, encode. One file a noun.

pub mod credential;
pub mod custody;
pub mod directory;
pub mod exchange;
pub mod invitation;
pub mod server;
pub mod session;
pub mod tenant;
pub mod token;
