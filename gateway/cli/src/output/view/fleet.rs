//! Tests of many servers, and the servers in them.

use serde_json::Value;

use super::{count, said, table, titled};
use crate::fields::{list as items_of, number, text, time, word};
use crate::output::{Block, facts};

pub fn list(items: &[Value]) -> Block {
    let header = &[
        "ID",
        "STATE",
        "SERVERS",
        "HEALTHY",
        "DEGRADED",
        "UNREACHABLE",
        "SKIPPED",
        "CREATED",
        "FINISHED",
        "REASON",
    ];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            word(item, "/state"),
            number(item, "/targetCount").to_string(),
            number(item, "/healthy").to_string(),
            count(number(item, "/degraded")),
            count(number(item, "/unreachable")),
            count(number(item, "/skipped")),
            time(item, "/createdAt"),
            time(item, "/finishedAt"),
            text(item, "/comment").into(),
        ]
    })
}

pub fn one(test: &Value) -> Vec<Block> {
    let latencies = items_of(test, "/latencies");
    let shown = facts([
        ("Fleet test", text(test, "/id").into()),
        ("State", word(test, "/state")),
        ("Servers", servers(test)),
        ("Chosen", number(test, "/targetCount").to_string()),
        ("Pending", count(number(test, "/pending"))),
        ("Running", count(number(test, "/running"))),
        ("Healthy", number(test, "/healthy").to_string()),
        ("Degraded", count(number(test, "/degraded"))),
        ("Unreachable", count(number(test, "/unreachable"))),
        ("Skipped", count(number(test, "/skipped"))),
        ("Cancelled", count(number(test, "/cancelled"))),
        ("At once", number(test, "/plan/maxParallel").to_string()),
        ("On one host", number(test, "/plan/maxPerHost").to_string()),
        ("In one network", number(test, "/plan/maxPerNetwork").to_string()),
        ("Reason", text(test, "/comment").into()),
        ("Created", time(test, "/createdAt")),
        ("Created by", text(test, "/createdBy").into()),
        ("Finished", time(test, "/finishedAt")),
    ]);
    if latencies.is_empty() {
        return vec![shown];
    }
    let header = &["STAGE", "P50 MS", "P90 MS", "P99 MS", "SLOWEST MS"];
    let stages = table(header, latencies, |latency| {
        let at = |name| number(latency, name).to_string();
        vec![text(latency, "/check").into(), at("/p50Ms"), at("/p90Ms"), at("/p99Ms"), at("/maxMs")]
    });
    vec![shown, titled("How long each stage took", stages)]
}

pub fn targets(items: &[Value]) -> Block {
    let header = &["SERVER", "NAME", "HOST", "STATE", "STATUS", "CHECK", "REASON", "MESSAGE", "TEST"];
    table(header, items, |target| {
        vec![
            text(target, "/serverId").into(),
            text(target, "/serverName").into(),
            format!("{} port {}", text(target, "/host"), number(target, "/port")),
            word(target, "/state"),
            said(target, "/status"),
            text(target, "/failedCheck").into(),
            text(target, "/reason").into(),
            text(target, "/message").into(),
            text(target, "/testId").into(),
        ]
    })
}

/// Where it stands, on one line.
pub fn line(test: &Value) -> String {
    let mut parts = Vec::new();
    for (name, at) in [
        ("pending", "/pending"),
        ("running", "/running"),
        ("healthy", "/healthy"),
        ("degraded", "/degraded"),
        ("unreachable", "/unreachable"),
        ("skipped", "/skipped"),
        ("cancelled", "/cancelled"),
    ] {
        match number(test, at) {
            0 => {}
            number => parts.push(format!("{number} {name}")),
        }
    }
    parts.join(", ")
}

/// Which servers were chosen.
fn servers(test: &Value) -> String {
    let mut parts = vec![match items_of(test, "/selector/serverIds").len() {
        0 => "all active".to_owned(),
        named => format!("{named} named"),
    }];
    match text(test, "/selector/tenantId") {
        "" => {}
        tenant => parts.push(format!("of {tenant}")),
    }
    match text(test, "/selector/group") {
        "" => {}
        group => parts.push(format!("in {group}")),
    }
    for (key, value) in test.pointer("/selector/labels").and_then(Value::as_object).into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_what_is_not_zero() {
        assert_eq!(line(&json!({"pending": 0, "running": 2, "healthy": 3})), "2 running, 3 healthy");
    }

    #[test]
    fn the_choice_is_said_in_words() {
        let selector = json!({"tenantId": "ten_1", "group": "web", "labels": {"a": "b"}, "serverIds": []});
        assert_eq!(servers(&json!({"selector": selector})), "all active, of ten_1, in web, a=b");
        assert_eq!(servers(&json!({"selector": {"serverIds": ["srv_1"]}})), "1 named");
    }
}
