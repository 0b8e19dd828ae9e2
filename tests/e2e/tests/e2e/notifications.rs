//! Who is told of what: by webhooks that the reference library accepts, and by mail; again after a kill, and by one of two
//! servers; an owner, of an operator's invitation.

use keywright_e2e::receiver::Receiver;
use keywright_e2e::world::{create_tenant, options, owner};
use keywright_e2e::{LIMIT, Sshd, Stores, World, text};
use keywright_kit::{Caller, Keywright, KeywrightOptions};
use serde_json::{Value, json};

const TARGETS: &str = "/api/notification-targets";

async fn webhook(caller: &Caller, tenant: &str, receiver: &Receiver, events: &[&str]) -> String {
    let body = json!({"tenantId": tenant, "kind": "webhook", "address": receiver.hook(), "events": events});
    let made = caller.post(TARGETS, body).await.success();
    receiver.knows(&text(&made, "/secret"));
    text(&made, "/target/id")
}

async fn test(caller: &Caller, target: &str) -> Value {
    caller.post(&format!("{TARGETS}/{target}/test"), json!({})).await.success()
}

async fn deliveries(caller: &Caller, target: &str) -> Vec<Value> {
    let page = caller.get(&format!("{TARGETS}/{target}/deliveries")).await.success();
    page["items"].as_array().unwrap().clone()
}

/// An operator asks for an invitation of another owner.
async fn invite(keywright: &Keywright, tenant: &str) -> keywright_kit::Answer {
    let body = json!({"role": "tenant_owner", "email": "mallory@example.com"});
    keywright.post(&format!("/api/tenants/{tenant}/invitations"), body).await
}

#[tokio::test]
async fn the_owner_hears_of_an_operators_invitation_or_there_is_none() {
    let (keywright, receiver) = tokio::join!(
        async { Keywright::start(KeywrightOptions::default()).await.unwrap() },
        Receiver::start()
    );
    let tenant = create_tenant(&keywright, "Acme").await;
    let (_, token) = owner(&keywright, &tenant).await;
    let ada = keywright.caller(&token);
    let refused = invite(&keywright, &tenant).await;
    assert_eq!((refused.status, refused.reason()), (409, "POLICY_FORBIDS"), "{}", refused.json);

    // The command line goes the same way.
    let added = keywright
        .cli_as(Some(&token), &["notify", "add", "webhook", &receiver.hook(), "-o", "json"], b"")
        .await;
    let added: Value = serde_json::from_str(&added.success()).unwrap();
    receiver.knows(&text(&added, "/secret"));
    let target = text(&added, "/target/id");
    assert_eq!(invite(&keywright, &tenant).await.reason(), "POLICY_FORBIDS", "nothing was seen to arrive");
    let tested = keywright.cli_as(Some(&token), &["notify", "test", &target], b"").await.success();
    assert!(tested.contains("DELIVERED"), "{tested}");
    let rotated =
        keywright.cli_as(Some(&token), &["notify", "rotate-secret", &target, "-o", "json"], b"").await;
    let rotated: Value = serde_json::from_str(&rotated.success()).unwrap();

    let invited = invite(&keywright, &tenant).await.success();
    let told = receiver.waits_for(|got| got["body"]["type"] == "invitation.created").await;
    assert_eq!(told["verified"], true, "{told}");
    assert_eq!(told["body"]["data"]["subject"], invited["id"], "{told}");
    assert_eq!(told["body"]["data"]["details"]["email"], "mallory@example.com", "{told}");
    // That was by the secret before; the new one verifies too.
    receiver.knows(&text(&rotated, "/secret"));
    assert_eq!(test(&ada, &target).await["state"], "delivered");
    assert_eq!(receiver.got().last().unwrap()["verified"], true);
    let sent = keywright.cli_as(Some(&token), &["notify", "deliveries", &target], b"").await.success();
    assert!(sent.contains("invitation.created") && !sent.contains("whsec_"), "{sent}");
    let listed = keywright.cli_as(Some(&token), &["notify", "list"], b"").await.success();
    assert!(listed.contains(&receiver.hook()), "{listed}");

    keywright.cli_as(Some(&token), &["notify", "remove", &target], b"").await.success();
    assert_eq!(invite(&keywright, &tenant).await.reason(), "POLICY_FORBIDS");
    assert_eq!(ada.get(TARGETS).await.success()["items"], json!([]));
}

#[tokio::test]
async fn a_message_outlives_a_kill_under_the_same_id() {
    let receiver = Receiver::start().await;
    let mut keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let (_, token) = owner(&keywright, &tenant).await;
    let target = webhook(&keywright.caller(&token), &tenant, &receiver, &[]).await;
    test(&keywright.caller(&token), &target).await;
    receiver.behaves("hold");
    invite(&keywright, &tenant).await.success();
    let first = receiver.waits_for(|got| got["body"]["type"] == "invitation.created").await;

    keywright.kill9().await;
    receiver.behaves("200");
    keywright.restart().await.unwrap();

    let ada = keywright.caller(&token);
    let path = format!("{TARGETS}/{target}/deliveries");
    let delivered = |page: &Value| page["items"][0]["state"] == "delivered";
    keywright.wait_for(&path, LIMIT, delivered).await;
    let same: Vec<Value> = receiver.got().into_iter().filter(|got| got["id"] == first["id"]).collect();
    assert_eq!(same.len(), 2, "{same:?}");
    assert!(same.iter().all(|got| got["verified"] == true && got["body"] == first["body"]), "{same:?}");
    assert_eq!(text(&deliveries(&ada, &target).await[0], "/id"), text(&first, "/id"));
}

#[tokio::test]
async fn of_two_servers_one_sends() {
    let (receiver, folder) = (Receiver::start().await, tempfile::tempdir().unwrap());
    let (options, _) = options(Stores::External).await;
    let options = options.data_dir(&folder.path().join("data"));
    let one = Keywright::start(options.clone()).await.unwrap();
    let two = Keywright::start(options).await.unwrap();
    let tenant = create_tenant(&one, "Acme").await;
    let (_, token) = owner(&one, &tenant).await;
    let target = webhook(&one.caller(&token), &tenant, &receiver, &[]).await;
    test(&two.caller(&token), &target).await;
    for _ in 0..5 {
        invite(&one, &tenant).await.success();
        invite(&two, &tenant).await.success();
    }
    let path = format!("{TARGETS}/{target}/deliveries");
    let all = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        items.len() == 11 && items.iter().all(|item| item["state"] == "delivered")
    };
    two.wait_for(&path, LIMIT, all).await;
    let mut ids: Vec<String> = receiver.got().iter().map(|got| text(got, "/id")).collect();
    assert!(receiver.got().iter().all(|got| got["verified"] == true));
    assert_eq!(ids.len(), 11, "each was sent once");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 11);
}

#[tokio::test]
async fn mail_arrives_and_says_what_happened() {
    let receiver = Receiver::start().await;
    let options = KeywrightOptions::default()
        .arg("--smtp-url")
        .arg(receiver.smtp())
        .arg("--smtp-from")
        .arg("Keywright <keywright@example.com>");
    let keywright = Keywright::start(options).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let (_, token) = owner(&keywright, &tenant).await;
    let ada = keywright.caller(&token);
    let body = json!({"tenantId": tenant, "kind": "email", "address": "ada@example.com"});
    let made = ada.post(TARGETS, body).await.success();
    assert_eq!(made["secret"], "");
    let target = text(&made, "/target/id");
    assert_eq!(test(&ada, &target).await["state"], "delivered");
    receiver.behaves("500");
    let failed = test(&ada, &target).await;
    assert_eq!(
        (&failed["state"], &failed["error"]),
        (&json!("failed"), &json!("the mail server says to try later"))
    );
    receiver.behaves("200");
    test(&ada, &target).await;

    invite(&keywright, &tenant).await.success();
    let mail = receiver
        .waits_for(|got| got["headers"]["subject"].as_str().is_some_and(|it| it.contains("invited")))
        .await;
    assert_eq!((&mail["to"], &mail["from"]), (&json!(["ada@example.com"]), &json!("keywright@example.com")));
    assert_eq!(mail["headers"]["auto-submitted"], "auto-generated", "{mail}");
    let sent = deliveries(&ada, &target).await;
    assert_eq!(mail["headers"]["message-id"], format!("<{}@example.com>", text(&sent[0], "/id")));
    assert!(text(&mail, "/text").contains("email: mallory@example.com"), "{mail}");
}

#[tokio::test]
async fn what_is_refused_shows_and_no_secret_lies_in_the_data() {
    let receiver = Receiver::start().await;
    let world = World::new(Stores::Embedded, Sshd::OpenSsh).await;
    let ada = world.owner();
    let body = json!({"tenantId": world.tenant, "kind": "webhook", "address": receiver.hook()});
    let made = ada.post(TARGETS, body).await.success();
    let (target, secret) = (text(&made, "/target/id"), text(&made, "/secret"));
    let bare = secret.trim_start_matches("whsec_").trim_end_matches('=');
    let raw = data_encoding::BASE64_NOPAD.decode(bare.as_bytes()).unwrap();
    for manner in ["500", "302"] {
        receiver.behaves(manner);
        assert_eq!(test(&ada, &target).await["state"], "failed");
    }
    let listed = ada.get(TARGETS).await.success();
    assert_eq!(listed["items"][0]["lastError"], "a redirect, which is not followed", "{listed}");
    assert!(listed["items"][0]["failingSince"].is_string());
    for url in ["https://169.254.169.254/latest", "http://192.0.2.1/", world.keywright.url().as_str()] {
        let body = json!({"tenantId": world.tenant, "kind": "webhook", "address": url});
        assert_eq!(ada.post(TARGETS, body).await.status, 400, "{url}");
    }
    for file in keywright_e2e::world::files_below(&world.keywright.data_dir()) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(bare.as_bytes()) && !holds(&raw), "{}", file.display());
    }
    assert!(!world.keywright.logs().contains(bare));
}
