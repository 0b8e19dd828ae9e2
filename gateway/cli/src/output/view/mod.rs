//! How each resource looks to a person. Pure: a REST value in, blocks out.

pub mod access;
pub mod algorithms;
pub mod audit;
pub mod campaign;
pub mod connectivity;
pub mod credential;
pub mod custody;
pub mod fleet;
pub mod heartbeat;
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
use crate::fields::word;

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

/// An enum value as the documentation writes it; empty where it is not stated.
fn said(value: &Value, pointer: &str) -> String {
    Some(word(value, pointer)).filter(|word| word != "UNSPECIFIED").unwrap_or_default()
}

/// A duration as it is typed: in the largest unit that leaves no rest.
fn spoken(span: &str) -> String {
    let Some(seconds) = span.strip_suffix('s').and_then(|number| number.parse::<u64>().ok()) else {
        return span.to_owned();
    };
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(size, _)| seconds > 0 && seconds % size == 0);
    unit.map_or_else(|| format!("{seconds}s"), |(size, unit)| format!("{}{unit}", seconds / size))
}
