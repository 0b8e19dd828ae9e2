//! The tables of the log.

pub mod checkpoint;
pub mod event;
pub mod export;
pub mod log;
pub mod segment;
pub mod tree;
