//! The secret store.

use serde_json::Value;

use super::{count, yes_no};
use crate::fields::{flag, number, text, time};
use crate::output::{Block, facts};

pub fn status(status: &Value) -> Vec<Block> {
    vec![facts([
        ("Store", text(status, "/backend").into()),
        ("Sealed", yes_no(flag(status, "/sealed"))),
        ("Key from", text(status, "/keySource").into()),
        ("Key id", text(status, "/keyId").into()),
        ("Key made", time(status, "/keyCreatedAt")),
        ("Data keys", count(number(status, "/dataKeys"))),
        ("Under older keys", count(number(status, "/dataKeysOutstanding"))),
    ])]
}

pub fn health(health: &Value) -> Vec<Block> {
    vec![facts([
        ("Store", text(health, "/backend").into()),
        ("Reachable", yes_no(flag(health, "/reachable"))),
        ("Sealed", yes_no(flag(health, "/sealed"))),
        ("Role", text(health, "/role").into()),
        ("Version", text(health, "/version").into()),
        ("Latency", milliseconds(text(health, "/latency"))),
        ("Asked", time(health, "/checkedAt")),
    ])]
}

/// `0.001234s` as `1.2 ms`.
fn milliseconds(latency: &str) -> String {
    let seconds = latency.strip_suffix('s').and_then(|text| text.parse::<f64>().ok());
    seconds.map_or_else(String::new, |seconds| format!("{:.1} ms", seconds * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn a_latency_is_said_in_milliseconds() {
        assert_eq!(milliseconds("0.001234s"), "1.2 ms");
        assert_eq!(milliseconds("3s"), "3000.0 ms");
        assert_eq!(milliseconds(""), "");
    }
}
