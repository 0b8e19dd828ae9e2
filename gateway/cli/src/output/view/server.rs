//! Servers.

use serde_json::Value;

use super::{host_key, table, titled, yes_no};
use crate::fields::{flag, list as items_of, number, text, texts, time, word};
use crate::output::{Block, facts};

pub fn list(items: &[Value]) -> Block {
    let header =
        &["ID", "NAME", "HOST", "PORT", "STATE", "HOST KEYS", "CREDENTIAL", "LAST TEST", "MANAGED", "TENANT"];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            text(item, "/name").into(),
            text(item, "/host").into(),
            number(item, "/port").to_string(),
            word(item, "/lifecycleStatus"),
            pins(item),
            text(item, "/credential/credentialId").into(),
            word(item, "/credential/testStatus"),
            yes_no(!text(item, "/managementKeyId").is_empty()),
            text(item, "/tenantId").into(),
        ]
    })
}

/// What an import registered, or would.
pub fn imported(told: &Value) -> Vec<Block> {
    let header = &["NAME", "HOST", "PORT", "GROUP", "HOST KEYS", "RESULT", "ID", "WHY"];
    let rows = table(header, items_of(told, "/items"), |item| {
        vec![
            text(item, "/name").into(),
            text(item, "/host").into(),
            number(item, "/port").to_string(),
            text(item, "/group").into(),
            pins(item),
            text(item, "/result").into(),
            text(item, "/serverId").into(),
            text(item, "/message").into(),
        ]
    });
    let skipped = table(&["ENTRY", "WHY"], items_of(told, "/skipped"), |item| {
        vec![text(item, "/entry").into(), text(item, "/why").into()]
    });
    vec![rows, titled("Not taken over", skipped)]
}

fn pins(server: &Value) -> String {
    match items_of(server, "/hostKeys").len() {
        0 => "unpinned".into(),
        count => format!("{count} pinned"),
    }
}

pub fn one(server: &Value) -> Vec<Block> {
    let labels = server.pointer("/labels").and_then(Value::as_object).map_or_else(String::new, |labels| {
        let pairs: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        pairs.join(", ")
    });
    let keys = items_of(server, "/hostKeys");
    let mut blocks = vec![facts([
        ("Id", text(server, "/id").into()),
        ("Tenant", text(server, "/tenantId").into()),
        ("Name", text(server, "/name").into()),
        ("Host", text(server, "/host").into()),
        ("Port", number(server, "/port").to_string()),
        ("Group", text(server, "/group").into()),
        ("Labels", labels),
        ("State", word(server, "/lifecycleStatus")),
        ("Host keys", pins(server)),
        ("Credential", text(server, "/credential/credentialId").into()),
        ("Credential's user", text(server, "/credential/username").into()),
        ("Last test", word(server, "/credential/testStatus")),
        ("Management key", text(server, "/managementKeyId").into()),
        ("Management user", text(server, "/managementUsername").into()),
        ("SSH version", text(server, "/capabilities/serverVersion").into()),
        ("Registered", time(server, "/createdAt")),
    ])];
    blocks.push(titled("Pinned host keys", host_key::pinned(keys)));
    blocks
}

pub fn delete_check(check: &Value) -> Vec<Block> {
    let blockers = texts(check, "/blockers");
    if flag(check, "/deletable") {
        return vec![Block::Text("Nothing stands in the way of a deletion.".into())];
    }
    vec![Block::Text(format!("The server cannot be deleted yet:\n  - {}", blockers.join("\n  - ")))]
}
