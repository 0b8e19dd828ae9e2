//! Campaigns as a plan / drive pair: `plan` is a pure function from what is recorded to the next thing to do; `select`
//! says which accesses; `drive` records that a target is begun, begins its rotation, and records how it ended.
//!
//! Invariants: a target is begun once, however often its driver is killed; never more than `max_parallel` at once; no
//! wave begins before the one before it has ended and soaked, and none but the first before the new keys of the first
//! are proven; a host that is down is no failure and holds up no later wave, but most of a wave's hosts pause it.

mod drive;
pub mod plan;
mod select;

pub use drive::Driver;
pub use select::{Candidate, Chosen, Selection};

#[cfg(test)]
mod plan_tests;
