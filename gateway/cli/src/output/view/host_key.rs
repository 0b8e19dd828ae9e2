//! Host keys: pinned ones and scanned ones.

use serde_json::Value;

use super::{table, yes_no};
use crate::fields::{flag, list, text, time};
use crate::output::Block;

pub fn pinned(items: &[Value]) -> Block {
    table(&["KIND", "ALGORITHM", "FINGERPRINT", "APPROVED", "BY"], items, |item| {
        vec![
            if flag(item, "/certificateAuthority") { "authority" } else { "host" }.into(),
            text(item, "/algorithm").into(),
            text(item, "/fingerprint").into(),
            time(item, "/approvedAt"),
            text(item, "/approvedBy").into(),
        ]
    })
}

const DIFFERS: &str = "\
DNS names another key: the zone of the host's name has SSHFP records, and not of every key that the server shows here.
Either the host has new keys and the zone has the old ones, or this is another machine. Compare with the server's console
(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and approve only what it says; then publish the zone's records anew
(ssh-keygen -r HOST, on the host).";

/// The keys, and below them what to mind of what DNS says.
pub fn scanned(scan: &Value) -> Vec<Block> {
    let items = list(scan, "/items");
    let dnssec = text(scan, "/dnssec");
    let keys = table(&["ALGORITHM", "FINGERPRINT", "PINNED", "IN DNS"], items, |item| {
        vec![
            text(item, "/algorithm").into(),
            text(item, "/fingerprint").into(),
            yes_no(flag(item, "/pinned")),
            in_dns(text(item, "/sshfp"), dnssec),
        ]
    });
    let differs = items.iter().any(|item| text(item, "/sshfp") == "differs").then_some(DIFFERS);
    let note = Some(text(scan, "/sshfpNote")).filter(|note| !note.is_empty());
    let below = differs.into_iter().chain(note).map(|said| Block::Text(said.into()));
    std::iter::once(keys).chain(below).collect()
}

/// What the SSHFP records say, in plain words.
fn in_dns(verdict: &str, dnssec: &str) -> String {
    let said = match verdict {
        "matches" => "this key",
        "differs" => "ANOTHER KEY",
        "absent" => return "no record".into(),
        _ => return "unknown".into(),
    };
    format!("{said}, {}", if dnssec == "verified" { "verified" } else { "not verified" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(scan: &Value) -> String {
        scanned(scan).iter().map(Block::render).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_dns_says_stands_beside_each_key_and_what_to_do_below() {
        let key =
            |algorithm, sshfp| json!({"algorithm": algorithm, "fingerprint": "SHA256:x", "sshfp": sshfp});
        let items = json!([key("ssh-rsa", "absent"), key("ssh-ed25519", "matches")]);
        let text = seen(&json!({"items": items, "dnssec": "verified"}));
        assert!(text.contains("no record") && text.contains("this key, verified"), "{text}");
        assert!(!text.contains("DNS names another key"), "{text}");

        let text = seen(&json!({"items": [key("ssh-rsa", "differs")], "dnssec": "unverified"}));
        assert!(text.contains("ANOTHER KEY, not verified") && text.contains("ssh-keygen -r"), "{text}");

        let note = "The name server did not answer.";
        let text = seen(&json!({"items": [key("ssh-rsa", "unknown")], "sshfpNote": note}));
        assert!(text.contains("unknown") && text.contains(note), "{text}");
        assert!(seen(&json!({"items": [key("ssh-rsa", "")]})).contains("unknown"), "an older gateway");
    }
}
