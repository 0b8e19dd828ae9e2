//! Tokens, invitations and their exchange.

pub mod console;
pub mod create_token;
pub mod exchange;
pub mod invitations;
pub mod invite;
pub mod members;
pub mod oidc;
pub mod operators;
pub mod redeem;
pub mod revocations;
pub mod tokens;

#[cfg(test)]
mod tests;
