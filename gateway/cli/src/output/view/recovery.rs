//! The state after a restore.

use serde_json::Value;

use super::{table, titled};
use crate::fields::{flag, list as items_of, number, text, time, word};
use crate::output::{Block, facts};

pub fn one(recovery: &Value) -> Vec<Block> {
    if text(recovery, "/restoredAt").is_empty() {
        return vec![Block::Text("This installation was never restored.".into())];
    }
    let lines: Vec<Value> = items_of(recovery, "/lines")
        .iter()
        .filter(|line| word(line, "/finding") != "AS_RECORDED")
        .cloned()
        .collect();
    let state = if flag(recovery, "/active") { "in recovery: no host is written to" } else { "completed" };
    vec![
        facts([
            ("Recovery", state.to_owned()),
            ("Backup taken", time(recovery, "/backupTakenAt")),
            ("Restored", time(recovery, "/restoredAt")),
            ("Probed", time(recovery, "/probedAt")),
            ("Completed", time(recovery, "/completedAt")),
            ("As recorded", number(recovery, "/asRecorded").to_string()),
            ("Missing", number(recovery, "/missing").to_string()),
            ("Unexpected", number(recovery, "/unexpected").to_string()),
            ("Unreachable", number(recovery, "/unreachable").to_string()),
        ]),
        titled(
            "Keys that are not as the backup says",
            table(&["LINE", "FINDING", "IN THE BACKUP", "FINGERPRINT", "WHY"], &lines, |line| {
                vec![
                    text(line, "/lineId").into(),
                    word(line, "/finding"),
                    text(line, "/recordedState").into(),
                    text(line, "/fingerprint").into(),
                    text(line, "/detail").into(),
                ]
            }),
        ),
        Block::Text(next(recovery)),
    ]
}

/// What to do now.
fn next(recovery: &Value) -> String {
    if !flag(recovery, "/active") {
        return String::new();
    }
    if text(recovery, "/probedAt").is_empty() {
        return "Next: keywright admin recovery probe".into();
    }
    let count: i64 =
        ["/missing", "/unexpected", "/unreachable"].iter().map(|name| number(recovery, name)).sum();
    format!("Next: keywright admin recovery complete --confirm {count}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(recovery: &Value) -> String {
        one(recovery).iter().map(Block::render).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_differs_is_listed_and_the_count_to_type_is_said() {
        let recovery = json!({"active": true, "restoredAt": "2026-03-01T12:00:00Z", "probedAt": "2026-03-01T12:01:00Z",
            "asRecorded": 7, "missing": 1, "unexpected": 1, "unreachable": 2, "lines": [
                {"lineId": "acc_a:v1@srv_b", "finding": "missing", "recordedState": "INSTALLED"},
                {"lineId": "acc_c:v1@srv_d", "finding": "as_recorded"}]});
        let text = shown(&recovery);
        assert!(text.contains("acc_a:v1@srv_b") && !text.contains("acc_c"), "{text}");
        assert!(text.ends_with("keywright admin recovery complete --confirm 4"), "{text}");
    }

    #[test]
    fn an_installation_that_was_never_restored_says_so() {
        assert_eq!(shown(&json!({"active": false})), "This installation was never restored.");
    }
}
