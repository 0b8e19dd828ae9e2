//! Keys that never leave: signatures, managed versions, the release of a download, and of what a tenant allowed.

pub mod create_managed;
pub mod generate;
pub mod pen;
pub mod read;
pub mod register;
pub mod release;
pub mod resolve;
pub mod set_state;
pub mod shelf;
pub mod sign;
pub mod sign_login;
