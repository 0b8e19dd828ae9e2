//! Rotations as a plan / drive pair: `plan` is a pure function from what is recorded to the next step; `drive` records
//! "started", runs the step, records the outcome. Start-up recovery is the same loop.
//!
//! Invariants: every step may be repeated; before the promotion a failure leads back, after it only forward; a
//! revocation ends everything but itself.

mod desired;
mod doors;
mod drive;
pub mod plan;
pub mod receipt;
mod record;
mod steps;
pub mod told;
mod undo;

pub use desired::Converger;
pub use doors::Ahead;
pub use drive::Drive;
pub use undo::turn_back;

#[cfg(test)]
mod plan_tests;
