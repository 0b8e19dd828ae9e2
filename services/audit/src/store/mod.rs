//! The tables of the log.

pub mod alert;
pub mod alert_rule;
pub mod event;
pub mod log;
pub mod watch;
