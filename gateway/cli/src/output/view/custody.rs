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
