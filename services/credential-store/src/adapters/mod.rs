//! What lies outside of this process or is kept apart in it: secret stores and the other services. No decisions.

pub mod custody;
pub mod oidc;
pub mod probe;
pub mod work;
