//! Connectivity tests: nine checks and what they mean.

use serde_json::Value;

use super::table;
use crate::fields::{list as items_of, number, text, time, word};
use crate::output::{Block, facts, grid};

pub fn list(items: &[Value]) -> Block {
    table(&["ID", "CHECKED", "STATUS", "USER", "CREDENTIAL", "FIRST FAILURE"], items, |item| {
        vec![
            text(item, "/id").into(),
            time(item, "/checkedAt"),
            word(item, "/status"),
            text(item, "/username").into(),
            text(item, "/credentialId").into(),
            first_failure(item),
        ]
    })
}

/// The first failed check and its code; empty if none failed.
pub fn first_failure(test: &Value) -> String {
    items_of(test, "/checks")
        .iter()
        .find(|check| word(check, "/status") == "FAILED")
        .map_or_else(String::new, |check| format!("{}: {}", text(check, "/name"), text(check, "/code")))
}

pub fn one(test: &Value) -> Vec<Block> {
    vec![
        facts([
            ("Test", text(test, "/id").into()),
            ("Server", text(test, "/serverId").into()),
            ("Host", format!("{} port {}", text(test, "/host"), number(test, "/port"))),
            ("User", text(test, "/username").into()),
            ("Credential", text(test, "/credentialId").into()),
            ("Checked", time(test, "/checkedAt")),
            ("Status", word(test, "/status")),
        ]),
        checks(test),
        runtime(test),
    ]
}

fn checks(test: &Value) -> Block {
    let header = &["CHECK", "STATUS", "TIME", "CODE", "MESSAGE", "REMEDY"];
    table(header, items_of(test, "/checks"), |check| {
        let status = word(check, "/status");
        let time = match status.as_str() {
            "SKIPPED" => String::new(),
            _ => format!("{} ms", number(check, "/durationMs")),
        };
        vec![
            text(check, "/name").into(),
            status,
            time,
            text(check, "/code").into(),
            text(check, "/message").into(),
            text(check, "/remedy").into(),
        ]
    })
}

/// The facts that the checks gathered.
fn runtime(test: &Value) -> Block {
    let rows = items_of(test, "/checks")
        .iter()
        .filter_map(|check| Some((text(check, "/name"), check.pointer("/metadata")?.as_object()?)))
        .flat_map(|(name, facts)| {
            facts.iter().map(move |(key, value)| {
                vec![name.to_owned(), key.clone(), value.as_str().unwrap_or_default().to_owned()]
            })
        })
        .collect();
    grid(&["FROM", "FACT", "VALUE"], rows)
}
