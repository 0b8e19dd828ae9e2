//! `keywright server credential-…`: saved SSH credentials.

pub mod create;
pub mod delete;
pub mod read;
pub mod rotate;
pub mod switch;
pub mod update;
pub mod validate;

/// The collection's route.
pub const ROUTE: [&str; 3] = ["api", "credentials", "ssh"];
