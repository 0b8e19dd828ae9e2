//! What every service stands on: errors, tokens, the tower stack, peers, audit intents, telemetry. No business words.
//!
//! Invariant: a request reaches a use case only through [`stack::Stack`]: traced, authenticated, allowed by the rule
//! of its RPC, within a deadline.

pub mod audit;
mod auth;
pub mod clients;
pub mod deadline;
mod denials;
pub mod denylist;
pub mod edge;
mod ending;
pub mod failure;
pub mod idempotency;
pub mod keys;
pub mod metrics;
pub mod notices;
pub mod page;
pub mod peer;
pub mod quota;
pub mod rate;
pub mod repeat;
pub mod rules;
pub mod serve;
pub mod session;
pub mod stack;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod watch;

pub use auth::caller;
pub use keywright_policy::{Decision, Policy};

/// The gRPC body type that every peer speaks.
pub use tonic::body::Body;
