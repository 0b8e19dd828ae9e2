//! The use cases of the log.

pub mod append;
pub mod close_interrupted;
pub mod contradicts;
pub mod forward;
pub mod get_event;
pub mod hand_on;
pub mod list_events;
pub mod publish;
pub mod record_intent;
pub mod record_outcomes;
