//! Tokens, invitations and their exchange.

pub mod create_token;
pub mod exchange;
pub mod first_operator;
pub mod invite;
pub mod redeem;
pub mod tokens;

#[cfg(test)]
mod tests;
