//! The contract: decode, ask the use case, encode. One file per noun.

pub mod access;
pub mod campaign;
pub mod freeze;
pub mod key_use;
pub mod krl;
pub mod management;
pub mod notification;
pub mod offboarding;
pub mod overview;
pub mod policy;
pub mod recovery;
pub mod rotation;
pub mod server_keys;
pub mod work;

use keywright_domain::clock::Instant;
use keywright_runtime::audit::timestamp;

/// Absent stays absent.
fn optional(at: Option<Instant>) -> Option<prost_types::Timestamp> {
    at.map(timestamp)
}

fn number(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}
