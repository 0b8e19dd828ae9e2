//! The audit log's form: what the service writes and what anybody can verify with no server.
//!
//! `hash` and `tree` are RFC 6962, `tile` the paths of C2SP tlog-tiles, `note` C2SP signed-note, `checkpoint` C2SP
//! tlog-checkpoint, `leaf` the committed form of an entry, `export` the exported file and its verification.
//! No I/O, no clock, no randomness: whatever is random comes in as a parameter.

pub mod checkpoint;
pub mod export;
pub mod hash;
pub mod leaf;
pub mod note;
pub mod tile;
pub mod tree;

pub use checkpoint::Checkpoint;
pub use hash::Hash;
