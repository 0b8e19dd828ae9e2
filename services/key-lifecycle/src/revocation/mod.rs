//! Revocations, driven until every host has refused every revoked key.
//!
//! Invariant: nothing holds a revocation back but the host itself: no policy, no deactivation, no audit log that does
//! not answer. A host that was not reached is never called revoked.

mod drive;
mod exposure;
mod release;
mod sessions;

pub use drive::Revoker;
