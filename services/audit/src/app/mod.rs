//! The use cases of the log.

pub mod alerts;
pub mod append;
pub mod close_interrupted;
pub mod export_log;
pub mod get_event;
pub mod list_events;
pub mod prove;
pub mod read_tree;
pub mod record_intent;
pub mod record_outcomes;
pub mod segments;
pub mod sign_checkpoints;
