//! `keywright login`, `logout`, `whoami`

pub mod login;
pub mod logout;
pub mod whoami;
