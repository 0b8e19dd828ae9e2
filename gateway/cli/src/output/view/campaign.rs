//! Campaigns, their targets, and the brake.

use serde_json::Value;

use super::{count, table, titled};
use crate::fields::{list as items_of, number, text, texts, time, word};
use crate::output::{Block, facts};

pub fn list(items: &[Value]) -> Block {
    let header = &[
        "ID",
        "STATE",
        "WHY PAUSED",
        "TARGETS",
        "SUCCEEDED",
        "FAILED",
        "CATCHING UP",
        "WAVE",
        "CREATED",
        "FINISHED",
    ];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            word(item, "/state"),
            text(item, "/pauseReason").into(),
            number(item, "/targetCount").to_string(),
            number(item, "/succeeded").to_string(),
            count(number(item, "/failed")),
            count(number(item, "/catchingUp")),
            wave(item),
            time(item, "/createdAt"),
            time(item, "/finishedAt"),
        ]
    })
}

pub fn one(campaign: &Value) -> Vec<Block> {
    vec![facts([
        ("Campaign", text(campaign, "/id").into()),
        ("State", word(campaign, "/state")),
        ("Why paused", text(campaign, "/pauseReason").into()),
        ("Accesses", selector(campaign)),
        ("Targets", number(campaign, "/targetCount").to_string()),
        ("Pending", count(number(campaign, "/pending"))),
        ("Running", count(number(campaign, "/running"))),
        ("Succeeded", count(number(campaign, "/succeeded"))),
        ("Failed", count(number(campaign, "/failed"))),
        ("Catching up", count(number(campaign, "/catchingUp"))),
        ("Skipped", count(number(campaign, "/skipped"))),
        ("Cancelled", count(number(campaign, "/cancelled"))),
        ("Wave", wave(campaign)),
        ("Waves", waves(campaign)),
        ("Next wave", time(campaign, "/nextWaveAt")),
        ("At once", number(campaign, "/plan/maxParallel").to_string()),
        ("Failure budget", format!("{}%", number(campaign, "/plan/failureBudgetPercent"))),
        ("Reason", text(campaign, "/comment").into()),
        ("Created", time(campaign, "/createdAt")),
        ("Created by", text(campaign, "/createdBy").into()),
        ("Finished", time(campaign, "/finishedAt")),
    ])]
}

/// What a campaign would do.
pub fn preview(campaign: &Value) -> Vec<Block> {
    let all = items_of(campaign, "/targets");
    let (skipped, rotated): (Vec<Value>, Vec<Value>) =
        all.iter().cloned().partition(|target| word(target, "/state") == "SKIPPED");
    let total = number(campaign, "/targetCount");
    vec![
        titled(
            "To be rotated",
            table(&["WAVE", "ACCESS", "ACCOUNT", "HOSTS", "DUE", "TENANT"], &rotated, |target| {
                vec![
                    number(target, "/wave").to_string(),
                    text(target, "/accessId").into(),
                    text(target, "/account").into(),
                    texts(target, "/hosts").join(", "),
                    time(target, "/nextRotationAt"),
                    text(target, "/tenantId").into(),
                ]
            }),
        ),
        titled(
            "Skipped",
            table(&["ACCESS", "ACCOUNT", "REASON", "MESSAGE"], &skipped, |target| {
                vec![
                    text(target, "/accessId").into(),
                    text(target, "/account").into(),
                    text(target, "/reason").into(),
                    text(target, "/message").into(),
                ]
            }),
        ),
        Block::Text(match total {
            0 => "Nothing would be rotated.".to_owned(),
            _ => format!(
                "{total} accesses would be rotated, in waves of {}; {} skipped. The count to confirm: {total}",
                waves(campaign),
                skipped.len()
            ),
        }),
    ]
}

pub fn targets(items: &[Value]) -> Block {
    let header = &["WAVE", "ACCESS", "ACCOUNT", "HOSTS", "STATE", "ROTATION", "REASON", "MESSAGE"];
    table(header, items, |target| {
        vec![
            count(number(target, "/wave")),
            text(target, "/accessId").into(),
            text(target, "/account").into(),
            texts(target, "/hosts").join(", "),
            word(target, "/state"),
            text(target, "/rotationId").into(),
            text(target, "/reason").into(),
            text(target, "/message").into(),
        ]
    })
}

/// Where it stands, on one line.
pub fn line(campaign: &Value) -> String {
    let mut parts = vec![format!("wave {}", wave(campaign))];
    for (name, at) in [
        ("pending", "/pending"),
        ("running", "/running"),
        ("succeeded", "/succeeded"),
        ("failed", "/failed"),
        ("catching up", "/catchingUp"),
        ("skipped", "/skipped"),
    ] {
        match number(campaign, at) {
            0 => {}
            number => parts.push(format!("{number} {name}")),
        }
    }
    match time(campaign, "/nextWaveAt") {
        at if at.is_empty() => {}
        at => parts.push(format!("next wave at {at}")),
    }
    parts.join(", ")
}

pub fn freezes(answer: &Value) -> Vec<Block> {
    match items_of(answer, "/items") {
        [] => vec![Block::Text("Nothing is frozen.".into())],
        items => vec![table(&["WHOSE AUTOMATION", "SINCE", "BY", "REASON"], items, |item| {
            vec![
                match text(item, "/tenantId") {
                    "" => "everybody's".into(),
                    tenant => tenant.into(),
                },
                time(item, "/frozenAt"),
                text(item, "/frozenBy").into(),
                text(item, "/comment").into(),
            ]
        })],
    }
}

fn wave(campaign: &Value) -> String {
    format!("{} of {}", number(campaign, "/wave"), items_of(campaign, "/waves").len())
}

/// The first waves' sizes.
fn waves(campaign: &Value) -> String {
    const SHOWN: usize = 8;
    let all = items_of(campaign, "/waves");
    let mut sizes: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    if all.len() > SHOWN {
        sizes.push(format!("… ({} waves)", all.len()));
    }
    sizes.join(", ")
}

fn selector(campaign: &Value) -> String {
    let at = |name: &str| crate::fields::flag(campaign, &format!("/selector/{name}"));
    let mut said = match (at("all"), at("overdue"), at("dueSoon")) {
        (true, ..) => "all".to_owned(),
        (_, true, _) => "overdue".to_owned(),
        (_, _, true) => "due soon and overdue".to_owned(),
        _ => format!("{} named", items_of(campaign, "/selector/accessIds").len()),
    };
    match text(campaign, "/selector/tenantId") {
        "" => {}
        tenant => said.push_str(&format!(" of {tenant}")),
    }
    for (key, value) in campaign.pointer("/selector/labels").and_then(Value::as_object).into_iter().flatten()
    {
        said.push_str(&format!(", {key}={}", value.as_str().unwrap_or_default()));
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_preview_lists_both_and_says_the_count() {
        let campaign = json!({"targetCount": 1, "waves": [1], "targets": [
            {"accessId": "acc_a", "wave": 1, "state": "pending", "hosts": ["web"]},
            {"accessId": "acc_b", "wave": 0, "state": "skipped", "reason": "ACCESS_REVOKED", "message": "Revoked."}]});
        let text = preview(&campaign).iter().map(Block::render).collect::<Vec<_>>().join("\n");
        let (to_rotate, rest) = text.split_once("Skipped").unwrap();
        assert!(
            to_rotate.contains("acc_a") && rest.contains("acc_b") && rest.contains("ACCESS_REVOKED"),
            "{text}"
        );
        assert!(text.ends_with("The count to confirm: 1"), "{text}");
    }

    #[test]
    fn a_line_says_what_is_not_zero() {
        let campaign = json!({"wave": 2, "waves": [1, 4], "pending": 0, "running": 2, "succeeded": 3});
        assert_eq!(line(&campaign), "wave 2 of 2, 2 running, 3 succeeded");
    }
}
