//! Revocation lists.

use serde_json::Value;

use super::table;
use crate::fields::{number, text, time};
use crate::output::Block;

pub fn list(items: &[Value]) -> Block {
    table(&["GROUP", "SERVERS", "REVOKED KEYS", "VERSION", "CHANGED"], items, |item| {
        vec![
            text(item, "/group").into(),
            number(item, "/servers").to_string(),
            number(item, "/revokedKeys").to_string(),
            text(item, "/version").into(),
            time(item, "/changedAt"),
        ]
    })
}
