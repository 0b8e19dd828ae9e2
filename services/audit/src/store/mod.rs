//! The tables of the log.

pub mod event;
pub mod log;
