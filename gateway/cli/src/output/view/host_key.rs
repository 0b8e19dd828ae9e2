//! Host keys: pinned ones and scanned ones.

use serde_json::Value;

use super::{table, yes_no};
use crate::fields::{flag, text, time};
use crate::output::Block;

pub fn pinned(items: &[Value]) -> Block {
    table(&["KIND", "ALGORITHM", "FINGERPRINT", "APPROVED", "BY"], items, |item| {
        vec![
            if flag(item, "/certificateAuthority") { "authority" } else { "host" }.into(),
            text(item, "/algorithm").into(),
            text(item, "/fingerprint").into(),
            time(item, "/approvedAt"),
            text(item, "/approvedBy").into(),
        ]
    })
}

pub fn scanned(items: &[Value]) -> Block {
    table(&["ALGORITHM", "FINGERPRINT", "PINNED"], items, |item| {
        vec![
            text(item, "/algorithm").into(),
            text(item, "/fingerprint").into(),
            yes_no(flag(item, "/pinned")),
        ]
    })
}
