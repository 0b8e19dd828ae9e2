//! Keywright's own keys on servers, and servers that left.

use serde_json::Value;

use super::{table, titled};
use crate::fields::{flag, list, number, text, time};
use crate::output::{Block, facts};

pub fn one(management: &Value) -> Vec<Block> {
    let mut blocks = vec![facts([
        ("Server", text(management, "/serverId").into()),
        ("Management key", text(management, "/managementKeyId").into()),
        ("User", text(management, "/username").into()),
        ("Fingerprint", text(management, "/fingerprint").into()),
        ("In use since", time(management, "/installedAt")),
        ("SSH version", text(management, "/serverVersion").into()),
        ("Proof", proof(management, "/receipt")),
    ])];
    let former = list(management, "/predecessors");
    let rows = table(&["FINGERPRINT", "REPLACED", "REMOVED", "STAYS FOR"], former, |key| {
        vec![
            text(key, "/fingerprint").into(),
            time(key, "/replacedAt"),
            time(key, "/removedAt"),
            text(key, "/staysFor").into(),
        ]
    });
    blocks.push(titled("Keys that it replaced", rows));
    blocks
}

/// Never a bare "released": first what stays.
pub fn release(release: &Value) -> Vec<Block> {
    let staying = list(release, "/staying");
    let removed = flag(release, "/managementKeyRemoved");
    let own = if removed {
        format!("removed; {}", proof(release, "/refused"))
    } else {
        "its line stays, its private half is destroyed".to_owned()
    };
    let stays = match staying.len() {
        0 => "no key of an access".to_owned(),
        count => {
            format!("{count} key(s) of accesses keep working there; nobody ends them from here any more")
        }
    };
    let rows = table(&["ACCOUNT", "ACCESS", "VERSION", "FINGERPRINT", "ENDS BY ITSELF"], staying, |key| {
        vec![
            text(key, "/account").into(),
            text(key, "/accessId").into(),
            number(key, "/version").to_string(),
            text(key, "/fingerprint").into(),
            match time(key, "/endsAt") {
                never if never.is_empty() => "never".to_owned(),
                at => at,
            },
        ]
    });
    vec![
        facts([
            ("Server", text(release, "/serverId").into()),
            ("Released", time(release, "/releasedAt")),
            ("Stays", stays),
            ("Keywright's key", own),
            ("Other way in", proof(release, "/otherPath")),
        ]),
        titled("Keys that stay", rows),
    ]
}

fn proof(of: &Value, at: &str) -> String {
    let Some(receipt) = of.pointer(at).filter(|receipt| !receipt.is_null()) else { return String::new() };
    let answer = if flag(receipt, "/accepted") { "accepted" } else { "refused" };
    format!("{} {answer} at {}", text(receipt, "/method"), time(receipt, "/provenAt"))
}
