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
    let header = &["NAME", "HOST", "PORT", "VIA", "GROUP", "HOST KEYS", "RESULT", "ID", "WHY"];
    let rows = table(header, items_of(told, "/items"), |item| {
        vec![
            text(item, "/name").into(),
            text(item, "/host").into(),
            number(item, "/port").to_string(),
            text(item, "/jumpHost").into(),
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
    if mismatch(server).is_some() {
        return "MISMATCH".into();
    }
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
    let mut blocks = Vec::new();
    if let Some(seen) = mismatch(server) {
        blocks.push(warning(text(server, "/id"), seen));
    }
    blocks.push(facts([
        ("Id", text(server, "/id").into()),
        ("Tenant", text(server, "/tenantId").into()),
        ("Name", text(server, "/name").into()),
        ("Host", text(server, "/host").into()),
        ("Port", number(server, "/port").to_string()),
        ("Reached through", text(server, "/jumpHostId").into()),
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
    ]));
    blocks.push(titled("Pinned host keys", host_key::pinned(keys)));
    blocks
}

/// Where the server showed another host key than a pinned one.
fn mismatch(server: &Value) -> Option<&Value> {
    server.pointer("/hostKeyMismatch").filter(|seen| seen.is_object())
}

fn warning(id: &str, seen: &Value) -> Block {
    Block::Text(format!(
        "HOST KEY MISMATCH since {}: the server showed {}, which is not one of its approved host keys.\n\
         Nothing logs in to it. Compare its keys with what its console says:\n  \
         keywright server host-key scan {id}\n\
         If the approved keys are back:  keywright server host-key approve {id}\n\
         If the host has new keys:       keywright server host-key repin {id}",
        time(seen, "/seenAt"),
        text(seen, "/fingerprint"),
    ))
}

pub fn delete_check(check: &Value) -> Vec<Block> {
    let blockers = texts(check, "/blockers");
    if flag(check, "/deletable") {
        return vec![Block::Text("Nothing stands in the way of a deletion.".into())];
    }
    vec![Block::Text(format!("The server cannot be deleted yet:\n  - {}", blockers.join("\n  - ")))]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(blocks: &[Block]) -> String {
        blocks.iter().map(Block::render).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_mismatch_is_said_first_and_says_what_to_do() {
        let server = json!({"id": "srv_1", "jumpHostId": "srv_2",
            "hostKeyMismatch": {"fingerprint": "SHA256:new", "seenAt": "2026-03-01T12:00:00Z"},
            "hostKeys": [{"algorithm": "ssh-ed25519", "fingerprint": "SHA256:ca", "certificateAuthority": true},
                {"algorithm": "ssh-ed25519", "fingerprint": "SHA256:old"}]});
        let text = read(&one(&server));
        assert!(text.starts_with("HOST KEY MISMATCH since 2026-03-01 12:00:00 UTC"), "{text}");
        for part in
            ["SHA256:new", "host-key repin srv_1", "Reached through:", "srv_2", "authority  ssh-ed25519"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let listed = list(std::slice::from_ref(&server)).render();
        assert!(listed.contains("MISMATCH") && !listed.contains("pinned"), "{listed}");
    }

    #[test]
    fn nothing_is_said_of_what_is_not() {
        let server = json!({"id": "srv_1", "jumpHostId": "", "hostKeyMismatch": null, "hostKeys": []});
        let text = read(&one(&server));
        assert!(!text.contains("MISMATCH") && !text.contains("Reached"), "{text}");
    }
}
