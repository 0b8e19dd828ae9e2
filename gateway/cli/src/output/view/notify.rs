//! Who is told of what, and what was sent to him.

use serde_json::Value;

use super::table;
use crate::fields::{number, text, texts, time, word};
use crate::output::{Block, facts};

pub fn targets(items: &[Value]) -> Block {
    let header = &["ID", "TENANT", "KIND", "ADDRESS", "EVENTS", "LAST DELIVERED", "FAILING SINCE", "WHY"];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            text(item, "/tenantId").into(),
            word(item, "/kind"),
            text(item, "/address").into(),
            events(item),
            time(item, "/lastDeliveredAt"),
            time(item, "/failingSince"),
            text(item, "/lastError").into(),
        ]
    })
}

/// A new target with its secret: this once.
pub fn created(answer: &Value) -> Vec<Block> {
    let target = answer.pointer("/target").unwrap_or(&Value::Null);
    vec![facts([
        ("Id", text(target, "/id").into()),
        ("Tenant", text(target, "/tenantId").into()),
        ("Kind", word(target, "/kind")),
        ("Address", text(target, "/address").into()),
        ("Events", events(target)),
        ("Secret", text(answer, "/secret").into()),
    ])]
}

/// Another secret of a target: this once.
pub fn rotated(answer: &Value) -> Vec<Block> {
    vec![facts([
        ("Secret", text(answer, "/secret").into()),
        ("Previous until", time(answer, "/previousUntil")),
    ])]
}

pub fn deliveries(items: &[Value]) -> Block {
    let header = &["ID", "EVENT", "STATE", "TRIES", "WRITTEN", "DELIVERED", "NEXT TRY", "WHY"];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            text(item, "/event").into(),
            word(item, "/state"),
            number(item, "/attempts").to_string(),
            time(item, "/createdAt"),
            time(item, "/deliveredAt"),
            time(item, "/nextAttemptAt"),
            text(item, "/error").into(),
        ]
    })
}

pub fn delivery(delivery: &Value) -> Vec<Block> {
    vec![facts([
        ("Message", text(delivery, "/id").into()),
        ("State", word(delivery, "/state")),
        ("Why", text(delivery, "/error").into()),
    ])]
}

fn events(target: &Value) -> String {
    let events = texts(target, "/events");
    if events.is_empty() { "all".to_owned() } else { events.join(", ") }
}
