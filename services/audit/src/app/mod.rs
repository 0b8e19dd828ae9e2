//! The use cases of the log.

pub mod alerts;
pub mod append;
pub mod close_interrupted;
pub mod contradicts;
pub mod erase_subject;
pub mod export_log;
pub mod forward;
pub mod get_event;
pub mod hand_on;
pub mod list_events;
pub mod prove;
pub mod publish;
pub mod read_tree;
pub mod record_intent;
pub mod record_outcomes;
pub mod segments;
pub mod sign_checkpoints;
pub mod watch_events;
