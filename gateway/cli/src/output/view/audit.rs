//! The audit log: its events, its proofs, what it is watched for.

use serde_json::Value;

use super::{said, table, yes_no};
use crate::fields::{flag, list as items_at, long, number, text, texts, time, word};
use crate::output::{Block, clean, facts, grid};

pub fn list(items: &[Value]) -> Block {
    table(&["TIME", "OUTCOME", "ACTION", "ACTOR", "TARGET", "REASON", "ID"], items, |item| {
        vec![
            time(item, "/time"),
            word(item, "/outcome"),
            text(item, "/action").into(),
            text(item, "/actor").into(),
            text(item, "/target").into(),
            text(item, "/reason").into(),
            text(item, "/id").into(),
        ]
    })
}

pub fn one(event: &Value) -> Vec<Block> {
    let details = event.pointer("/details").and_then(Value::as_object).map_or_else(Vec::new, |details| {
        details
            .iter()
            .map(|(key, value)| vec![key.clone(), value.as_str().unwrap_or_default().into()])
            .collect()
    });
    vec![
        facts([
            ("Event", text(event, "/id").into()),
            ("Time", time(event, "/time")),
            ("Finished", time(event, "/finishedAt")),
            ("Outcome", word(event, "/outcome")),
            ("Action", text(event, "/action").into()),
            ("Actor", text(event, "/actor").into()),
            ("Actor kind", text(event, "/actorKind").into()),
            ("Tenant", text(event, "/tenantId").into()),
            ("Target", text(event, "/target").into()),
            ("Reason", text(event, "/reason").into()),
            ("Comment", text(event, "/comment").into()),
            ("Source", text(event, "/sourceIp").into()),
            ("Client", text(event, "/userAgent").into()),
            ("Request", text(event, "/requestId").into()),
            ("Trace", text(event, "/traceId").into()),
            ("Position", text(event, "/sequence").into()),
            ("Outcome's position", text(event, "/outcomeSequence").into()),
            ("Leaf", text(event, "/leafHash").into()),
        ]),
        grid(&["DETAIL", "VALUE"], details),
    ]
}

/// An event in one line, for who follows the log.
pub fn line(event: &Value) -> String {
    let target = Some(text(event, "/target")).filter(|target| !target.is_empty()).unwrap_or("-");
    let line = format!(
        "{}  {:<11}  {:<28}  {}  {target}  {}",
        time(event, "/time"),
        word(event, "/outcome"),
        text(event, "/action"),
        text(event, "/actor"),
        text(event, "/reason")
    );
    clean(line.trim_end()).replace('\n', "\u{fffd}")
}

pub fn checkpoint(checkpoint: &Value) -> Block {
    let state = if flag(checkpoint, "/verified") {
        "verified"
    } else {
        "not verified: give the log's public key with --key"
    };
    facts([
        ("Origin", text(checkpoint, "/origin").into()),
        ("Size", amount(checkpoint, "/size")),
        ("Root", text(checkpoint, "/root").into()),
        ("Signature", state.into()),
    ])
}

pub fn keys(answer: &Value) -> Vec<Block> {
    vec![table(&["SINCE", "FROM SIZE", "ACTIVE", "KEY"], items_at(answer, "/items"), |key| {
        vec![
            time(key, "/since"),
            amount(key, "/fromSize"),
            yes_no(flag(key, "/active")),
            text(key, "/verifierKey").into(),
        ]
    })]
}

pub fn inclusion(proof: &Value) -> Block {
    facts([
        ("Entry", amount(proof, "/index")),
        ("Leaf", text(proof, "/leafHash").into()),
        ("Tree", amount(proof, "/size")),
        ("Root", text(proof, "/root").into()),
        ("Verdict", "verified: the entry is in the tree".into()),
        ("Checkpoint", vouched(proof)),
    ])
}

pub fn consistency(proof: &Value) -> Block {
    facts([
        ("From", amount(proof, "/from")),
        ("Its root", text(proof, "/fromRoot").into()),
        ("Tree", amount(proof, "/size")),
        ("Root", text(proof, "/root").into()),
        ("Verdict", "verified: the earlier tree is the beginning of the later one".into()),
        ("Checkpoint", vouched(proof)),
    ])
}

fn vouched(proof: &Value) -> String {
    let signed = "the tree is the one of a signed checkpoint";
    let unsigned = "not looked at: give the log's public key with --key";
    if flag(proof, "/signed") { signed } else { unsigned }.into()
}

pub fn exported(answer: &Value) -> Block {
    facts([
        ("File", text(answer, "/file").into()),
        ("Bytes", amount(answer, "/bytes")),
        ("Origin", text(answer, "/origin").into()),
        ("Entries", amount(answer, "/size")),
        ("Tenant", text(answer, "/scope").into()),
        ("Checkpoint", text(answer, "/checkpoint").into()),
    ])
}

pub fn verified(report: &Value) -> Vec<Block> {
    let older: Vec<String> = items_at(report, "/since")
        .iter()
        .map(|it| format!("the checkpoint of size {}", amount(it, "/size")))
        .collect();
    vec![
        facts([
            ("Origin", text(report, "/origin").into()),
            ("Size", amount(report, "/size")),
            ("Root", text(report, "/root").into()),
            ("Tenant", text(report, "/scope").into()),
            ("Entries shown", amount(report, "/entries")),
            ("Of these erased", amount(report, "/erased")),
            ("Hidden", amount(report, "/hidden")),
            ("Beyond the checkpoint", amount(report, "/beyond")),
            ("Continues", older.join(", ")),
        ]),
        Block::Text("verified".into()),
    ]
}

pub fn alerts(items: &[Value]) -> Block {
    table(&["RAISED", "STATE", "RULE", "BY", "SUBJECT", "COUNT", "LAST", "EVENT", "ID"], items, |alert| {
        vec![
            time(alert, "/raisedAt"),
            word(alert, "/state"),
            text(alert, "/ruleId").into(),
            said(alert, "/subjectKind"),
            text(alert, "/subject").into(),
            number(alert, "/count").to_string(),
            time(alert, "/lastAt"),
            text(alert, "/eventId").into(),
            text(alert, "/id").into(),
        ]
    })
}

pub fn alert(alert: &Value) -> Block {
    facts([
        ("Alert", text(alert, "/id").into()),
        ("State", word(alert, "/state")),
        ("Rule", text(alert, "/ruleId").into()),
        ("Description", text(alert, "/description").into()),
        ("Tenant", text(alert, "/tenantId").into()),
        ("By", said(alert, "/subjectKind")),
        ("Subject", text(alert, "/subject").into()),
        ("Count", number(alert, "/count").to_string()),
        ("Raised", time(alert, "/raisedAt")),
        ("Last", time(alert, "/lastAt")),
        ("Event", text(alert, "/eventId").into()),
        ("Acknowledged by", text(alert, "/acknowledgedBy").into()),
        ("Acknowledged", time(alert, "/acknowledgedAt")),
        ("Comment", text(alert, "/comment").into()),
    ])
}

pub fn rules(answer: &Value) -> Block {
    let header = &[
        "RULE",
        "ON",
        "BUILT IN",
        "ACTIONS",
        "OUTCOME",
        "BY",
        "THRESHOLD",
        "WINDOW",
        "HOURS",
        "DESCRIPTION",
    ];
    table(header, items_at(answer, "/items"), |rule| {
        vec![
            text(rule, "/id").into(),
            yes_no(!flag(rule, "/disabled")),
            yes_no(flag(rule, "/builtIn")),
            texts(rule, "/actions").join(" "),
            said(rule, "/outcome"),
            said(rule, "/subject"),
            number(rule, "/threshold").to_string(),
            window(rule),
            text(rule, "/hours").into(),
            text(rule, "/description").into(),
        ]
    })
}

pub fn rule(rule: &Value) -> Block {
    facts([
        ("Rule", text(rule, "/id").into()),
        ("On", yes_no(!flag(rule, "/disabled"))),
        ("Actions", texts(rule, "/actions").join(" ")),
        ("Outcome", said(rule, "/outcome")),
        ("Reason", text(rule, "/reason").into()),
        ("By", said(rule, "/subject")),
        ("Threshold", number(rule, "/threshold").to_string()),
        ("Window", window(rule)),
        ("Hours", text(rule, "/hours").into()),
        ("Description", text(rule, "/description").into()),
    ])
}

fn window(rule: &Value) -> String {
    super::spoken(&format!("{}s", number(rule, "/windowSeconds")))
}

pub fn segments(items: &[Value]) -> Block {
    table(
        &["ID", "STATE", "FROM", "ENTRIES", "ENDED", "EXPORTED", "RETIRABLE", "RETIRED"],
        items,
        |segment| {
            vec![
                text(segment, "/id").into(),
                word(segment, "/state"),
                amount(segment, "/from"),
                amount(segment, "/size"),
                time(segment, "/endedAt"),
                time(segment, "/exportedAt"),
                time(segment, "/retirableAt"),
                time(segment, "/retiredAt"),
            ]
        },
    )
}

pub fn segment(segment: &Value) -> Block {
    facts([
        ("Segment", text(segment, "/id").into()),
        ("State", word(segment, "/state")),
        ("From", amount(segment, "/from")),
        ("Entries", amount(segment, "/size")),
        ("Root", text(segment, "/root").into()),
        ("Exported", time(segment, "/exportedAt")),
        ("Retired", time(segment, "/retiredAt")),
    ])
}

/// A number of 64 bits; empty if absent.
fn amount(value: &Value, pointer: &str) -> String {
    long(value, pointer).map_or_else(String::new, |number| number.to_string())
}
