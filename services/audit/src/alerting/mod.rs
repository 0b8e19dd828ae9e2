//! Flags and alerts: rules that the log is watched by, and the counting. Pure: no clock, no database, no network.

pub mod alert;
pub mod built_in;
pub mod hours;
pub mod rule;
pub mod watch;
