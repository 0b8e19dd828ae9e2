//! The rules of the house that a machine checks, read from the sources, the descriptor pool and the databases.
//!
//! Every check is a function that answers findings (file, line, rule), and every check stands beside a sample that
//! breaks the rule: a check that cannot fail is not one.
//!
//! | module | holds |
//! |---|---|
//! | `rooms` | which directory may name which driver; services never name one another |
//! | `sql` | every SQL text is understood by both databases and stays in its own service's tables |
//! | `contract` | what every RPC, message and field must say |
//! | `reasons` | the reasons that the contract names are those of the domain's table |
//! | `secret` | `Secret` cannot be printed, copied, compared or serialized |
//! | `debug` | no generated message prints a secret |
//! | `house` | sizes, lints, what stands at the top, nothing left undone |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[cfg(test)]
mod contract;
#[cfg(test)]
mod debug;
#[cfg(test)]
mod finding;
#[cfg(test)]
mod house;
#[cfg(test)]
mod reasons;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod secret;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod sql;
#[cfg(test)]
mod syntax;
