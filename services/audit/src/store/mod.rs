//! The tables of the log.

pub mod alert;
pub mod alert_rule;
pub mod checkpoint;
pub mod cursor;
pub mod erasure;
pub mod event;
pub mod export;
pub mod log;
pub mod mention;
pub mod publication;
pub mod record;
pub mod search;
pub mod segment;
pub mod tree;
pub mod watch;
pub mod write;
