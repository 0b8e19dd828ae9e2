//! The tables of the log.

pub mod alert;
pub mod alert_rule;
pub mod checkpoint;
pub mod cursor;
pub mod event;
pub mod export;
pub mod log;
pub mod publication;
pub mod record;
pub mod segment;
pub mod tree;
pub mod watch;
