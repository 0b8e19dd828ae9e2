//! Who can get into a server.

use serde_json::Value;

use super::{count, yes_no};
use crate::fields::{flag, list as items_of, number, text, texts, time, word};
use crate::output::{Block, facts};

const SHORT: &[&str] = &["ACCOUNT", "CLASS", "FLAGS", "ALGORITHM", "FINGERPRINT", "OWNER / COMMENT"];
const LONG: &[&str] = &[
    "ACCOUNT",
    "CLASS",
    "FLAGS",
    "ALGORITHM",
    "BITS",
    "FINGERPRINT",
    "OWNER / COMMENT",
    "NOTE",
    "ACCESS",
    "VERSION",
    "OPTIONS",
    "FILE",
    "LINE",
    "FIRST SEEN",
];

pub fn all(scan: &Value, all_columns: bool) -> Vec<Block> {
    let keys = items_of(scan, "/keys");
    if text(scan, "/scannedAt").is_empty() {
        return vec![facts([("Server", text(scan, "/serverId").into())])];
    }
    let mut blocks = vec![facts([
        ("Server", text(scan, "/serverId").into()),
        ("Looked at", time(scan, "/scannedAt")),
        ("Keys", keys.len().to_string()),
        ("Not as it should be", number(scan, "/drift").to_string()),
        ("Other ways in", texts(scan, "/otherWays").join(", ")),
        ("Settings read", yes_no(flag(scan, "/settingsRead"))),
        ("Complete", yes_no(!flag(scan, "/truncated"))),
    ])];
    let unreadable: Vec<String> = items_of(scan, "/accounts")
        .iter()
        .flat_map(|account| {
            let name = text(account, "/account");
            texts(account, "/unreadableFiles").into_iter().map(move |file| format!("{name}: {file}"))
        })
        .collect();
    if !unreadable.is_empty() {
        blocks.push(Block::Text(format!("Could not be read\n  - {}", unreadable.join("\n  - "))));
    }
    blocks.push(table(keys, all_columns));
    blocks
}

pub fn one(key: &Value) -> Vec<Block> {
    vec![table(std::slice::from_ref(key), true)]
}

fn table(keys: &[Value], all_columns: bool) -> Block {
    let row: fn(&Value) -> Vec<String> = if all_columns { long } else { short };
    Block::Grid {
        title: "",
        header: if all_columns { LONG } else { SHORT },
        rows: keys.iter().map(row).collect(),
    }
}

fn short(key: &Value) -> Vec<String> {
    vec![
        text(key, "/account").into(),
        word(key, "/class"),
        texts(key, "/flags").join(","),
        text(key, "/algorithm").into(),
        text(key, "/fingerprint").into(),
        who(key),
    ]
}

fn long(key: &Value) -> Vec<String> {
    vec![
        text(key, "/account").into(),
        word(key, "/class"),
        texts(key, "/flags").join(","),
        text(key, "/algorithm").into(),
        count(number(key, "/bits")),
        text(key, "/fingerprint").into(),
        who(key),
        text(key, "/note").into(),
        text(key, "/accessId").into(),
        count(number(key, "/version")),
        texts(key, "/options").join(","),
        text(key, "/file").into(),
        count(number(key, "/line")),
        time(key, "/firstSeenAt"),
    ]
}

fn who(key: &Value) -> String {
    match text(key, "/owner") {
        "" => text(key, "/comment").into(),
        owner => owner.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scan_reads_as_a_table() {
        let scan = json!({"serverId": "srv_1", "scannedAt": "2026-03-01T12:00:00Z", "drift": 1, "settingsRead": true,
            "otherWays": ["PASSWORD"], "truncated": false,
            "accounts": [{"account": "eve", "unreadableFiles": ["/home/eve/.ssh/authorized_keys: HOST_FILE_OWNER"]}],
            "keys": [{"account": "deploy", "class": "tracked", "flags": ["WEAK", "EXPIRED"], "algorithm": "ssh-rsa",
                "fingerprint": "SHA256:abc", "comment": "old", "owner": "CI team", "line": 3},
                {"account": "deploy", "class": "missing", "fingerprint": "SHA256:def"}]});
        let text: Vec<String> = all(&scan, false).iter().map(Block::render).collect();
        let text = text.join("\n");
        for part in ["PASSWORD", "eve: /home/eve", "TRACKED  WEAK,EXPIRED", "CI team", "MISSING"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("old"));
        let long: Vec<String> = all(&scan, true).iter().map(Block::render).collect();
        assert!(long.join("\n").contains("FIRST SEEN"));
    }
}
