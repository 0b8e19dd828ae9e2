//! Tenants and invitations.

use serde_json::Value;

use super::table;
use crate::fields::{text, texts, time, word};
use crate::output::{Block, facts};

pub fn list(items: &[Value]) -> Block {
    table(&["ID", "NAME", "EXTERNAL ID", "STATE", "TIME ZONE", "CREATED"], items, |item| {
        vec![
            text(item, "/id").into(),
            text(item, "/name").into(),
            text(item, "/externalId").into(),
            word(item, "/state"),
            text(item, "/timeZone").into(),
            time(item, "/createdAt"),
        ]
    })
}

pub fn one(tenant: &Value) -> Vec<Block> {
    vec![facts([
        ("Id", text(tenant, "/id").into()),
        ("Name", text(tenant, "/name").into()),
        ("External id", text(tenant, "/externalId").into()),
        ("State", word(tenant, "/state")),
        ("Time zone", text(tenant, "/timeZone").into()),
        ("Contacts", texts(tenant, "/contacts").join(", ")),
        ("Labels", labels(tenant)),
        ("Revision", text(tenant, "/revision").into()),
        ("Created", time(tenant, "/createdAt")),
    ])]
}

fn labels(tenant: &Value) -> String {
    let labels = tenant.pointer("/labels").and_then(Value::as_object);
    let pairs = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(", ")
}

pub fn invitation(invitation: &Value) -> Vec<Block> {
    vec![facts([
        ("Id", text(invitation, "/id").into()),
        ("Code", text(invitation, "/code").into()),
        ("Works until", time(invitation, "/expiresAt")),
    ])]
}
