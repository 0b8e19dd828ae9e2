//! The log lists all that happened, and no secret stands in it or anywhere else.

use data_encoding::{BASE64, BASE64URL, HEXLOWER};
use keywright_e2e::key_file::secrets_of;
use keywright_e2e::secrets::Needles;
use keywright_e2e::spans::Spans;
use keywright_e2e::world::{options, wait_for};
use keywright_e2e::{Access, Sshd, Stores, World, audit_log, text};
use keywright_kit::{KeyType, keygen_commented};
use serde_json::{Value, json};

const PASSPHRASE: &str = "canary-passphrase-tell-nobody";
const COMMENT: &str = "canary-comment-of-the-key-file";

/// What a life of a key and of a saved credential must have left in the log, each with its outcome.
const EVENTS: [(&str, &str); 14] = [
    ("tenant.create", "succeeded"),
    ("invitation.create", "succeeded"),
    ("invitation.redeem", "succeeded"),
    ("server.register", "succeeded"),
    ("server.host_key", "succeeded"),
    ("server.manage", "succeeded"),
    ("access.provision", "succeeded"),
    ("access.download", "succeeded"),
    ("access.download", "denied"),
    ("access.rotate", "succeeded"),
    ("access.revoke", "succeeded"),
    ("access.regenerate", "succeeded"),
    ("credential.create", "succeeded"),
    ("credential.rotate", "failed"),
];

#[test]
fn a_secret_is_found_in_every_form() {
    let secret: Vec<u8> = (100..132).collect();
    let mut needles = Needles::default();
    needles.add("it", &secret);
    for before in 0..4 {
        let text = [&vec![7; before][..], &secret, b"the rest"].concat();
        let forms = [BASE64.encode(&text), BASE64URL.encode(&text), HEXLOWER.encode(&text)];
        assert!(needles.found_in(&text).is_some(), "{before}");
        assert!(forms.iter().all(|form| needles.found_in(form.as_bytes()).is_some()), "{before}");
    }
    assert_eq!(needles.found_in(&secret[1..]), None);
}

#[tokio::test]
async fn nothing_secret_stays_behind_in_the_embedded_stores() {
    let world = World::new(Stores::Embedded, Sshd::OpenSsh).await;
    let needles = live(&world).await;
    needles.assert_nowhere(&world, &[&world.host]).await;
}

#[tokio::test]
async fn nothing_secret_stays_behind_in_external_stores() {
    let world = World::new(Stores::External, Sshd::OpenSsh).await;
    let needles = live(&world).await;
    needles.assert_nowhere(&world, &[&world.host]).await;
}

/// Everything is logged that anybody logs, the libraries' own traces too, and every span leaves the process.
#[tokio::test]
async fn nothing_secret_is_traced() {
    let (spans, endpoint) = Spans::start().await;
    let (options, database) = options(Stores::External).await;
    let options = options.env("KEYWRIGHT_LOG", "trace").arg("--otlp-endpoint").arg(endpoint);
    let mut world = World::with(options, database, Sshd::OpenSsh).await;
    let needles = live(&world).await;
    assert_eq!(world.keywright.terminate().await, 0);
    let (logs, spans) = (world.keywright.logs(), spans.bytes());
    needles.assert_absent("the log at its most talkative", logs.as_bytes());
    needles.assert_absent("a span", &spans);
    assert!(logs.contains("TRACE"), "nothing was traced");
    assert!(memchr::memmem::find(&spans, b"RotateSshCredential").is_some(), "no span arrived");
}

/// One of everything, with errors; the secrets that it brought up.
async fn live(world: &World) -> Needles {
    let mut needles = Needles::default();
    needles.add("the operator's token", world.keywright.operator_token());
    needles.add("the owner's token", &world.owner_token);
    needles.add("the invitation", &world.invitation);
    needles.add_all("the bootstrap key", secrets_of(&world.bootstrap.private_text()));
    let access = world.provision().await;
    let mut answers = vec![world.keywright.post(&access.path("/download"), confirmation(&access)).await];
    for grace in ["3600s", "0s"] {
        needles.add_all("a downloaded key", access.download().await.secrets());
        answers.push(access.try_download().await);
        let rotation = json!({"gracePeriod": grace, "dropGraceKey": true});
        access.finished(&access.start_rotation(rotation).await).await;
    }
    access.revoke(json!({"reason": "the end"})).await;
    access.regenerate().await;
    needles.add_all("a regenerated key", access.download().await.secrets());
    answers.extend(saved_credential(world, &mut needles).await);

    for answer in &answers {
        assert!(answer.status >= 400, "{}", answer.json);
        needles.assert_absent("an error", &answer.bytes);
    }
    assert_logged(world, &needles).await;
    needles.assert_absent("the server's log", world.keywright.logs().as_bytes());
    assert!(world.keywright.logs().contains("request_id"), "the server's log is empty");
    for drivers_own in ["API response", "Vault server", "kv_", "error returned from database"] {
        assert!(!world.keywright.logs().contains(drivers_own), "a driver speaks in the server's log");
    }
    needles
}

fn confirmation(access: &Access<'_>) -> Value {
    json!({"confirmation": {"accessId": access.id}})
}

async fn saved_credential(world: &World, needles: &mut Needles) -> Vec<keywright_kit::Answer> {
    let key = async |passphrase| keygen_commented(KeyType::Ed25519, passphrase, COMMENT).await.unwrap();
    let (clear, locked) = (key("").await, key(PASSPHRASE).await);
    needles.add("a passphrase", PASSPHRASE);
    needles.add("a key file's comment", COMMENT);
    needles.add_all("a saved key", secrets_of(&clear.private_text()));
    needles.add_all("an encrypted key file", secrets_of(&locked.private_text()));
    let body = json!({"tenantId": world.tenant, "name": "saved", "privateKey": clear.private_text()});
    let id = text(&world.keywright.post("/api/credentials/ssh", body).await.success(), "/id");
    let path = format!("/api/credentials/ssh/{id}/rotate");
    let confirmation = json!({"credentialId": id});
    let truncated = &clear.private_text()[..250];
    let mut refused = Vec::new();
    for body in [
        json!({"privateKey": locked.private_text(), "passphrase": format!("{PASSPHRASE}-wrong"), "confirmation": confirmation}),
        json!({"privateKey": truncated, "passphrase": PASSPHRASE, "confirmation": confirmation}),
        json!({"privateKey": clear.private_text(), "passphrase": PASSPHRASE, "confirmation": {"credentialId": PASSPHRASE}}),
        json!({"privateKey": {"inner": clear.private_text()}, "passphrase": [PASSPHRASE]}),
    ] {
        refused.push(world.owner().post(&path, body).await);
    }
    let body =
        json!({"privateKey": locked.private_text(), "passphrase": PASSPHRASE, "confirmation": confirmation});
    world.owner().post(&path, body).await.success();
    refused
}

async fn assert_logged(world: &World, needles: &Needles) {
    let path =
        format!("/api/audit/events?tenantId={}&action=credential.rotate&outcome=succeeded", world.tenant);
    wait_for(&world.keywright, &path, |log| log["items"].as_array().is_some_and(|items| !items.is_empty()))
        .await;
    let events = audit_log::whole(&world.keywright).await;
    let has = |action: &str, outcome: &str| {
        events.iter().any(|event| event["action"] == action && event["outcome"] == outcome)
    };
    for (action, outcome) in EVENTS {
        assert!(has(action, outcome), "the log does not list {action} {outcome}: {}", summary(&events));
    }
    for event in &events {
        assert!(text(event, "/id").starts_with("evt_") && !text(event, "/requestId").is_empty(), "{event}");
        needles.assert_absent("the audit log", event.to_string().as_bytes());
    }
    let mut sequence: Vec<i64> =
        events.iter().map(|event| text(event, "/sequence").parse().unwrap()).collect();
    assert!(sequence.is_sorted_by(|newer, older| newer > older), "{sequence:?}");
    sequence.dedup();
    assert_eq!(sequence.len(), events.len());
}

fn summary(events: &[Value]) -> String {
    let lines =
        events.iter().map(|event| format!("{} {} {}", event["action"], event["outcome"], event["reason"]));
    lines.collect::<Vec<_>>().join("\n")
}
