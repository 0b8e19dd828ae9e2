//! The secret store as an operator works on it: its state, sealed and open, and a new key-encryption key.

pub mod health;
pub mod rotate_key;
pub mod seal;
pub mod status;
pub mod unseal;
