//! The vocabulary of Keywright: ids, secrets, keys, callers, error reasons.
//!
//! Invariant: no I/O, no async, no transport and no database. What stands here can be tested with bytes alone.

pub mod account;
pub mod authorized_keys;
pub mod caller;
pub mod clock;
pub mod fingerprint;
pub mod host;
pub mod ids;
pub mod key;
pub mod krl;
pub mod reason;
pub mod secret;
