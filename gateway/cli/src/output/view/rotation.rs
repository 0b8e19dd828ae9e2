//! Rotations.

use serde_json::Value;

use super::{count, table};
use crate::fields::{list as items_of, number, text, time, word};
use crate::output::{Block, facts};

pub fn one(rotation: &Value) -> Vec<Block> {
    // A host that comes or goes brings no key.
    let of_key = |shown: String| if brings_a_key(rotation) { shown } else { String::new() };
    vec![
        facts([
            ("Rotation", text(rotation, "/id").into()),
            ("Access", text(rotation, "/accessId").into()),
            ("Kind", word(rotation, "/kind")),
            ("State", word(rotation, "/state")),
            ("Host", text(rotation, "/serverId").into()),
            ("Campaign", text(rotation, "/campaignId").into()),
            ("Hosts left behind", names(rotation, "/outstandingServerIds")),
            ("Old version", of_key(count(number(rotation, "/oldVersion")))),
            ("New version", of_key(count(number(rotation, "/newVersion")))),
            ("New fingerprint", of_key(text(rotation, "/newFingerprint").into())),
            ("Started", time(rotation, "/startedAt")),
            ("New key in use", of_key(time(rotation, "/promotedAt"))),
            ("Old key valid until", time(rotation, "/graceEndsAt")),
            ("Grace extended", time(rotation, "/graceExtendedAt")),
            ("Old key proven refused", time(rotation, "/graceEndedAt")),
            ("Finished", time(rotation, "/finishedAt")),
            ("Reason", text(rotation, "/reason").into()),
            ("Message", text(rotation, "/message").into()),
            ("Comment", text(rotation, "/comment").into()),
        ]),
        steps(rotation),
    ]
}

fn brings_a_key(rotation: &Value) -> bool {
    !matches!(word(rotation, "/kind").as_str(), "ADD_HOST" | "REMOVE_HOST")
}

fn names(rotation: &Value, pointer: &str) -> String {
    let names: Vec<&str> = items_of(rotation, pointer).iter().filter_map(Value::as_str).collect();
    names.join(" ")
}

fn steps(rotation: &Value) -> Block {
    let header = &["STEP", "SERVER", "STATE", "STARTED", "FINISHED", "TRIES", "REASON", "MESSAGE"];
    table(header, items_of(rotation, "/steps"), |step| {
        vec![
            text(step, "/name").into(),
            text(step, "/serverId").into(),
            word(step, "/state"),
            time(step, "/startedAt"),
            time(step, "/finishedAt"),
            count(number(step, "/attempts")),
            text(step, "/reason").into(),
            text(step, "/message").into(),
        ]
    })
}

/// The last few, in an access.
pub fn recent(items: &[Value]) -> Block {
    table(&["ROTATION", "KIND", "STATE", "STARTED", "FINISHED", "REASON"], items, |item| {
        vec![
            text(item, "/id").into(),
            word(item, "/kind"),
            word(item, "/state"),
            time(item, "/startedAt"),
            time(item, "/finishedAt"),
            text(item, "/reason").into(),
        ]
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_host_that_leaves_brings_no_new_key() {
        let rotation = |kind: &str| json!({"id": "rot_1", "kind": kind, "newVersion": 4, "promotedAt": "2026-03-01T12:00:00Z"});
        assert!(one(&rotation("rotate"))[0].render().contains("New key in use"));
        assert!(!one(&rotation("remove_host"))[0].render().contains("New"));
    }
}
