//! Saved credentials: created, checked, replaced in place, deleted. None of these returns a private key.

mod certificate;
pub mod create;
pub mod delete;
pub mod intake;
pub mod read;
pub mod rotate;
pub mod switch;
pub mod switch_one;
pub mod turns;
pub mod update;
pub mod validate;
