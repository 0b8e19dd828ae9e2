//! Other services.

pub mod zones;
