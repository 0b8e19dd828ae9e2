//! gRPC: decode, one use case, encode.

pub mod connectivity_test;
mod dialogue;
pub mod fleet_test;
pub mod heartbeat;
pub mod host_key;
pub mod proof;
