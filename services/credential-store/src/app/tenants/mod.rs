//! Tenants.

pub mod create;
pub mod delete;
pub mod open;
pub mod read;
pub mod suspend;
pub mod update;
