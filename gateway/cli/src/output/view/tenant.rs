//! Tenants and invitations.

use serde_json::Value;

use super::table;
use crate::fields::{text, time, word};
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
        ("Created", time(tenant, "/createdAt")),
    ])]
}

pub fn invitation(invitation: &Value) -> Vec<Block> {
    vec![facts([
        ("Id", text(invitation, "/id").into()),
        ("Code", text(invitation, "/code").into()),
        ("Works until", time(invitation, "/expiresAt")),
    ])]
}
