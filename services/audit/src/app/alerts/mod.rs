//! Flags and alerts: the log is watched, people are told, operators set the rules and acknowledge.

pub mod acknowledge;
pub mod evaluate;
pub mod list;
pub mod rules;
pub mod set_rule;
pub mod tell;
