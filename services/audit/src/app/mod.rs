//! The use cases of the log.

pub mod append;
pub mod close_interrupted;
pub mod erase_subject;
pub mod get_event;
pub mod list_events;
pub mod record_intent;
pub mod record_outcomes;
pub mod watch_events;
