//! Rotations.

use serde_json::Value;

use super::{count, table};
use crate::fields::{list as items_of, number, text, time, word};
use crate::output::{Block, facts};

pub fn one(rotation: &Value) -> Vec<Block> {
    vec![
        facts([
            ("Rotation", text(rotation, "/id").into()),
            ("Access", text(rotation, "/accessId").into()),
            ("Kind", word(rotation, "/kind")),
            ("State", word(rotation, "/state")),
            ("Host", text(rotation, "/serverId").into()),
            ("Campaign", text(rotation, "/campaignId").into()),
            ("Hosts left behind", names(rotation, "/outstandingServerIds")),
            ("Old version", count(number(rotation, "/oldVersion"))),
            ("New version", count(number(rotation, "/newVersion"))),
            ("New fingerprint", text(rotation, "/newFingerprint").into()),
            ("Started", time(rotation, "/startedAt")),
            ("New key in use", time(rotation, "/promotedAt")),
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
