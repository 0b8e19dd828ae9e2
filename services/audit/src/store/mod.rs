//! The tables of the log.

pub mod cursor;
pub mod event;
pub mod log;
pub mod publication;
pub mod record;
