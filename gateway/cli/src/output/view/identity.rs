//! Tokens and principals.

use serde_json::Value;

use super::table;
use crate::fields::{text, texts, time, word};
use crate::output::{Block, facts};

pub fn tokens(items: &[Value]) -> Block {
    let header = &["ID", "NAME", "ROLE", "TENANT", "CREATED", "EXPIRES", "LAST USED", "REVOKED"];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            text(item, "/name").into(),
            word(item, "/role"),
            text(item, "/tenantId").into(),
            time(item, "/createdAt"),
            time(item, "/expiresAt"),
            time(item, "/lastUsedAt"),
            time(item, "/revokedAt"),
        ]
    })
}

pub fn token(token: &Value) -> Vec<Block> {
    vec![facts([
        ("Id", text(token, "/id").into()),
        ("Name", text(token, "/name").into()),
        ("Principal", text(token, "/principalId").into()),
        ("Role", word(token, "/role")),
        ("Tenant", text(token, "/tenantId").into()),
        ("Permissions", texts(token, "/permissions").join(", ")),
        ("Created", time(token, "/createdAt")),
        ("Expires", time(token, "/expiresAt")),
        ("Revoked", time(token, "/revokedAt")),
        ("Last used", time(token, "/lastUsedAt")),
        ("Made with", text(token, "/parentId").into()),
        ("Certificate", text(token, "/clientCertificate").into()),
    ])]
}

/// A new token with its secret: this once.
pub fn created(answer: &Value) -> Vec<Block> {
    let mut blocks = token(answer.pointer("/metadata").unwrap_or(&Value::Null));
    blocks.push(facts([("Token", text(answer, "/token").into())]));
    blocks
}

pub fn principal(principal: &Value) -> Vec<Block> {
    vec![facts([
        ("Principal", text(principal, "/id").into()),
        ("Kind", word(principal, "/kind")),
        ("Role", word(principal, "/role")),
        ("Tenant", text(principal, "/tenantId").into()),
        ("Permissions", texts(principal, "/permissions").join(", ")),
        ("Token", text(principal, "/tokenId").into()),
        ("Token expires", time(principal, "/expiresAt")),
    ])]
}

/// A login's answer: the token's metadata, or the principal of a token that was there before.
pub fn token_or_principal(answer: &Value) -> Vec<Block> {
    if answer.pointer("/principalId").is_some() { token(answer) } else { principal(answer) }
}
