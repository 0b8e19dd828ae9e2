//! The end of a tenant.

use serde_json::Value;

use crate::fields::{flag, number, text, texts, time, word};
use crate::output::{Block, facts};

pub fn one(offboarding: &Value) -> Vec<Block> {
    let export = if flag(offboarding, "/exportReady") { "can be downloaded" } else { "not written yet" };
    let mut blocks = vec![facts([
        ("Tenant", text(offboarding, "/tenantId").into()),
        ("State", word(offboarding, "/state")),
        ("Asked for", time(offboarding, "/requestedAt")),
        ("Deleted", time(offboarding, "/finishedAt")),
        ("Accesses", number(offboarding, "/accesses").to_string()),
        ("Hosts outstanding", number(offboarding, "/outstandingHosts").to_string()),
        ("Export", export.into()),
    ])];
    let waits = texts(offboarding, "/waitsFor");
    if !waits.is_empty() {
        blocks.push(Block::Text(format!("It waits for:\n  - {}", waits.join("\n  - "))));
    }
    blocks
}
