//! Members of a tenant, and invitations into it.

use serde_json::Value;

use super::table;
use crate::fields::{text, time, word};
use crate::output::{Block, facts};

pub fn members(items: &[Value]) -> Block {
    let header = &["PRINCIPAL", "NAME", "ROLE", "KIND", "CAME BY", "SINCE", "LAST USED", "REMOVED"];
    table(header, items, |item| {
        vec![
            text(item, "/principalId").into(),
            text(item, "/name").into(),
            word(item, "/role"),
            word(item, "/kind"),
            text(item, "/source").into(),
            time(item, "/createdAt"),
            time(item, "/lastUsedAt"),
            time(item, "/removedAt"),
        ]
    })
}

pub fn member(member: &Value) -> Vec<Block> {
    vec![facts([
        ("Principal", text(member, "/principalId").into()),
        ("Name", text(member, "/name").into()),
        ("Role", word(member, "/role")),
        ("Kind", word(member, "/kind")),
        ("Came by", text(member, "/source").into()),
        ("Since", time(member, "/createdAt")),
        ("Last used", time(member, "/lastUsedAt")),
        ("Removed", time(member, "/removedAt")),
    ])]
}

pub fn invitations(items: &[Value]) -> Block {
    let header = &["ID", "ROLE", "EMAIL", "CREATED BY", "CREATED", "WORKS UNTIL", "REDEEMED"];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            word(item, "/role"),
            text(item, "/email").into(),
            text(item, "/createdBy").into(),
            time(item, "/createdAt"),
            time(item, "/expiresAt"),
            time(item, "/redeemedAt"),
        ]
    })
}
