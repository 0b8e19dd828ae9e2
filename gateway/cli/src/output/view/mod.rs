//! How each resource looks to a person. Pure: a REST value in, blocks out.

pub mod access;
pub mod audit;
pub mod campaign;
pub mod connectivity;
pub mod credential;
pub mod custody;
pub mod fleet;
pub mod host_key;
pub mod identity;
pub mod krl;
pub mod management;
pub mod member;
pub mod notify;
pub mod offboarding;
pub mod overview;
pub mod policy;
pub mod recovery;
pub mod revocation;
pub mod rotation;
pub mod server;
pub mod server_keys;
pub mod tenant;

use serde_json::Value;

use super::{Block, grid};

/// A table with one row per item.
fn table(header: &'static [&'static str], items: &[Value], row: impl Fn(&Value) -> Vec<String>) -> Block {
    grid(header, items.iter().map(row).collect())
}

fn titled(title: &'static str, block: Block) -> Block {
    match block {
        Block::Grid { header, rows, .. } => Block::Grid { title, header, rows },
        other => other,
    }
}

fn yes_no(flag: bool) -> String {
    if flag { "yes" } else { "no" }.into()
}

/// A count, or nothing for none.
fn count(number: i64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}
