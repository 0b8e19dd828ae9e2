//! The tables of the log.

pub mod erasure;
pub mod event;
pub mod log;
pub mod mention;
pub mod search;
