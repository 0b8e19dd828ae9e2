//! Keywright's own keys on servers: one replaces another by recorded steps, and what was replaced leaves later.
//!
//! | file | |
//! |---|---|
//! | `plan` | pure: from the recorded state to what is to be done |
//! | `begin` | its first row |
//! | `drive` | forward to the key that counts; before that, back |
//! | `end` | takes the line of a key that no longer counts off the host |
//! | `editor` | one key's line on its server |
//! | `schedule` | rotates what is older than its maximum age |
//!
//! Invariants: the new key is proven by a login over a fresh connection before it counts; no line of a management key
//! leaves a host unless another key has just been proven in the same pass; the private half of a predecessor is kept
//! until its line is proven gone, which is not before a backup that holds the successor is recorded, or seven days.

mod begin;
mod drive;
mod editor;
mod end;
mod plan;
mod schedule;

pub use drive::Keys;
pub use editor::Editor;
pub use plan::{PREDECESSOR_STAYS, pause};
