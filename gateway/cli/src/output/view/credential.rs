//! Saved credentials, their usage and the checks of key material.

use serde_json::Value;

use super::{count, table, titled, yes_no};
use crate::fields::{flag, list as items_of, number, text, texts, time, word};
use crate::output::{Block, facts};

pub fn list(items: &[Value]) -> Block {
    let header = &[
        "ID",
        "NAME",
        "USER",
        "ALGORITHM",
        "FINGERPRINT",
        "VERSION",
        "CREATED",
        "ROTATED",
        "LAST USED",
        "TENANT",
    ];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            text(item, "/name").into(),
            text(item, "/username").into(),
            text(item, "/algorithm").into(),
            text(item, "/fingerprint").into(),
            count(number(item, "/version")),
            time(item, "/createdAt"),
            time(item, "/rotatedAt"),
            time(item, "/lastUsedAt"),
            text(item, "/tenantId").into(),
        ]
    })
}

pub fn one(credential: &Value) -> Vec<Block> {
    let intake = match flag(credential, "/encryptedAtIntake") {
        true => "encrypted; the passphrase was dropped".to_owned(),
        false => "not encrypted".into(),
    };
    let mut blocks = vec![facts([
        ("Id", text(credential, "/id").into()),
        ("Tenant", text(credential, "/tenantId").into()),
        ("Name", text(credential, "/name").into()),
        ("User", text(credential, "/username").into()),
        ("Algorithm", text(credential, "/algorithm").into()),
        ("Bits", count(number(credential, "/bits"))),
        ("Fingerprint", text(credential, "/fingerprint").into()),
        ("Public key", text(credential, "/publicKey").into()),
        ("Version", count(number(credential, "/version"))),
        ("Key file came", intake),
        ("May be resolved", yes_no(flag(credential, "/allowResolve"))),
        ("Created", time(credential, "/createdAt")),
        ("Rotated", time(credential, "/rotatedAt")),
        ("Last used", time(credential, "/lastUsedAt")),
        ("Revision", text(credential, "/revision").into()),
    ])];
    blocks.extend(certificate(credential));
    blocks.push(checks(items_of(credential, "/checks")));
    if let Some(used) = credential.pointer("/usage").filter(|used| used.is_object()) {
        blocks.extend(usage(used));
    }
    blocks
}

/// What logins present in place of the public key.
fn certificate(credential: &Value) -> Option<Block> {
    let certificate = credential.pointer("/certificate").filter(|it| it.is_object())?;
    let until = match text(certificate, "/validBefore") {
        "" => "for ever".into(),
        _ => time(certificate, "/validBefore"),
    };
    Some(facts([
        ("Certificate", text(certificate, "/keyId").into()),
        ("Serial", text(certificate, "/serial").into()),
        ("Principals", texts(certificate, "/principals").join(", ")),
        ("Valid from", time(certificate, "/validAfter")),
        ("Valid until", until),
        ("Authority", text(certificate, "/authority").into()),
    ]))
}

pub fn checks(items: &[Value]) -> Block {
    titled(
        "Checks",
        table(&["CHECK", "STATUS", "CODE", "MESSAGE", "REMEDY"], items, |item| {
            vec![
                text(item, "/name").into(),
                word(item, "/status"),
                text(item, "/code").into(),
                text(item, "/message").into(),
                text(item, "/remedy").into(),
            ]
        }),
    )
}

pub fn usage(usage: &Value) -> Vec<Block> {
    let servers = format!(
        "{} ({} active, {} inactive)",
        number(usage, "/totalServers"),
        number(usage, "/activeServers"),
        number(usage, "/inactiveServers")
    );
    vec![
        facts([
            ("Servers", servers),
            ("Other references", number(usage, "/totalReferences").to_string()),
            ("Revision", text(usage, "/revision").into()),
        ]),
        titled(
            "Used by",
            table(&["SERVER", "NAME", "STATE", "HOST", "USER"], items_of(usage, "/servers"), |item| {
                vec![
                    text(item, "/serverId").into(),
                    text(item, "/serverName").into(),
                    word(item, "/lifecycleStatus"),
                    text(item, "/host").into(),
                    text(item, "/username").into(),
                ]
            }),
        ),
        titled(
            "References",
            table(&["OWNER", "PURPOSE"], items_of(usage, "/references"), |item| {
                vec![text(item, "/owner").into(), text(item, "/purpose").into()]
            }),
        ),
    ]
}

/// What became of the servers of a switch.
pub fn switched(answer: &Value) -> Vec<Block> {
    vec![
        facts([
            ("Switched", number(answer, "/switched").to_string()),
            ("Keep the old one", number(answer, "/kept").to_string()),
        ]),
        table(
            &["SERVER", "NAME", "OUTCOME", "REASON", "TEST", "MESSAGE"],
            items_of(answer, "/results"),
            |item| {
                vec![
                    text(item, "/serverId").into(),
                    text(item, "/serverName").into(),
                    word(item, "/outcome"),
                    text(item, "/reason").into(),
                    text(item, "/connectivityTestId").into(),
                    text(item, "/message").into(),
                ]
            },
        ),
    ]
}

pub fn validation(answer: &Value) -> Vec<Block> {
    vec![
        facts([
            ("Valid", yes_no(flag(answer, "/valid"))),
            ("Algorithm", text(answer, "/algorithm").into()),
            ("Bits", count(number(answer, "/bits"))),
            ("Fingerprint", text(answer, "/fingerprint").into()),
            ("Public key", text(answer, "/publicKey").into()),
        ]),
        checks(items_of(answer, "/checks")),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_certificate_is_shown_where_there_is_one() {
        let read = |value: &Value| one(value).iter().map(Block::render).collect::<Vec<_>>().join("\n");
        let with = json!({"id": "sshcred_1", "certificate": {"keyId": "ops", "serial": "7", "principals": ["root", "deploy"],
            "validAfter": null, "validBefore": "2030-01-01T00:00:00Z", "authority": "SHA256:ca"}});
        let text = read(&with);
        for part in ["ops", "root, deploy", "2030-01-01 00:00:00 UTC", "SHA256:ca"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let text = read(&json!({"id": "sshcred_1", "certificate": null}));
        assert!(!text.contains("Certificate") && !text.contains("Valid until"), "{text}");
    }
}
