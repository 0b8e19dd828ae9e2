//! gRPC: decode, one use case, encode.

pub mod alerts;
pub mod events;
pub mod intake;
pub mod log;
