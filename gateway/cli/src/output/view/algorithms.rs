//! What a server offers, and how good it is.

use serde_json::Value;

use super::{table, titled, yes_no};
use crate::fields::{flag, list as items_of, text, texts, word};
use crate::output::{Block, facts, grid};

/// `all`: with everything that is offered.
pub fn assessment(answer: &Value, all: bool) -> Vec<Block> {
    let grade = match text(answer, "/grade") {
        "A" => "A (nothing weak, and a post-quantum key exchange)".to_owned(),
        "B" => "B (nothing weak, but no post-quantum key exchange)".into(),
        "C" => "C (something weak)".into(),
        "F" => "F (something broken)".into(),
        other => other.into(),
    };
    let mut blocks = vec![facts([
        ("Grade", grade),
        ("Post-quantum", yes_no(flag(answer, "/postQuantum"))),
        ("Strict key exchange", yes_no(flag(answer, "/strictKeyExchange"))),
        ("SSH version", text(answer, "/serverVersion").into()),
    ])];
    let findings = items_of(answer, "/findings");
    match findings {
        [] => blocks.push(Block::Text("Nothing was found.".into())),
        _ => blocks.push(found(findings)),
    }
    if all {
        let lists = [
            ("Key exchanges", "/keyExchanges"),
            ("Host keys", "/hostKeys"),
            ("Ciphers", "/ciphers"),
            ("MACs", "/macs"),
        ];
        blocks.extend(lists.into_iter().map(|(title, pointer)| offered(title, &texts(answer, pointer))));
    }
    blocks
}

fn found(findings: &[Value]) -> Block {
    table(&["SEVERITY", "KIND", "ALGORITHM", "WHY", "WHAT TO DO"], findings, |finding| {
        vec![
            word(finding, "/severity"),
            text(finding, "/kind").into(),
            text(finding, "/name").into(),
            text(finding, "/reason").into(),
            text(finding, "/remedy").into(),
        ]
    })
}

fn offered(title: &'static str, names: &[&str]) -> Block {
    titled(title, grid(&["ALGORITHM"], names.iter().map(|name| vec![(*name).to_owned()]).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(blocks: &[Block]) -> String {
        blocks.iter().map(Block::render).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn findings_come_as_they_are_and_the_lists_where_asked_for() {
        let answer = json!({"grade": "F", "postQuantum": true, "strictKeyExchange": false,
            "serverVersion": "SSH-2.0-x", "keyExchanges": ["curve25519-sha256"], "ciphers": ["3des-cbc"],
            "findings": [{"kind": "cipher", "name": "3des-cbc", "severity": "broken", "reason": "Old.", "remedy": "Out."},
                {"kind": "mac", "name": "hmac-sha1", "severity": "weak", "reason": "R", "remedy": "M"}]});
        let short = read(&assessment(&answer, false));
        for part in
            ["F (something broken)", "Strict key exchange:  no", "BROKEN    cipher  3des-cbc   Old.  Out."]
        {
            assert!(short.contains(part), "{part} in\n{short}");
        }
        assert!(short.find("3des-cbc") < short.find("hmac-sha1") && !short.contains("curve25519"), "{short}");
        let long = read(&assessment(&answer, true));
        assert!(long.contains("Key exchanges\nALGORITHM\ncurve25519-sha256"), "{long}");
    }

    #[test]
    fn a_server_without_findings_says_so() {
        let answer = json!({"grade": "A", "postQuantum": true, "strictKeyExchange": true, "findings": []});
        assert!(read(&assessment(&answer, false)).contains("Nothing was found."));
    }
}
