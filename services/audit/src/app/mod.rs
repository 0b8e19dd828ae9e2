//! The use cases of the log.

pub mod alerts;
pub mod append;
pub mod close_interrupted;
pub mod get_event;
pub mod list_events;
pub mod record_intent;
pub mod record_outcomes;
