//! Audit events.

use serde_json::Value;

use super::table;
use crate::fields::{text, time, word};
use crate::output::{Block, facts, grid};

pub fn list(items: &[Value]) -> Block {
    table(&["TIME", "OUTCOME", "ACTION", "ACTOR", "TARGET", "REASON", "ID"], items, |item| {
        vec![
            time(item, "/time"),
            word(item, "/outcome"),
            text(item, "/action").into(),
            text(item, "/actor").into(),
            text(item, "/target").into(),
            text(item, "/reason").into(),
            text(item, "/id").into(),
        ]
    })
}

pub fn one(event: &Value) -> Vec<Block> {
    let details = event.pointer("/details").and_then(Value::as_object).map_or_else(Vec::new, |details| {
        details
            .iter()
            .map(|(key, value)| vec![key.clone(), value.as_str().unwrap_or_default().into()])
            .collect()
    });
    vec![
        facts([
            ("Event", text(event, "/id").into()),
            ("Time", time(event, "/time")),
            ("Finished", time(event, "/finishedAt")),
            ("Outcome", word(event, "/outcome")),
            ("Action", text(event, "/action").into()),
            ("Actor", text(event, "/actor").into()),
            ("Actor kind", text(event, "/actorKind").into()),
            ("Tenant", text(event, "/tenantId").into()),
            ("Target", text(event, "/target").into()),
            ("Reason", text(event, "/reason").into()),
            ("Comment", text(event, "/comment").into()),
            ("Source", text(event, "/sourceIp").into()),
            ("Client", text(event, "/userAgent").into()),
            ("Request", text(event, "/requestId").into()),
            ("Trace", text(event, "/traceId").into()),
            ("Position", text(event, "/sequence").into()),
            ("Outcome's position", text(event, "/outcomeSequence").into()),
            ("Leaf", text(event, "/leafHash").into()),
        ]),
        grid(&["DETAIL", "VALUE"], details),
    ]
}
