//! Keys that never leave: signatures, managed versions, and the one release of a download.

pub mod create_managed;
pub mod generate;
pub mod read;
pub mod release;
pub mod set_state;
pub mod shelf;
pub mod sign;
