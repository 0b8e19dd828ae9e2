//! Receivers as the world has them: encrypted ones and false ones, ones that hang, drip, flood or lie, and addresses that
//! nobody may have Keywright dial.

use keywright_e2e::certificates::Authority;
use keywright_e2e::names::Names;
use keywright_e2e::receiver::Receiver;
use keywright_e2e::world::{create_tenant, owner};
use keywright_e2e::{LIMIT, text};
use keywright_kit::{Caller, Keywright, KeywrightOptions};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

const TARGETS: &str = "/api/notification-targets";
const UNTRUSTED: &str = "its TLS certificate is not trusted, or TLS failed";

async fn add(caller: &Caller, tenant: &str, kind: &str, address: &str) -> Value {
    let body = json!({"tenantId": tenant, "kind": kind, "address": address});
    caller.post(TARGETS, body).await.success()
}

/// How a message that was sent at once fared: its state and its error.
async fn tested(caller: &Caller, target: &str) -> (String, String) {
    let sent = caller.post(&format!("{TARGETS}/{target}/test"), json!({})).await.success();
    (text(&sent, "/state"), text(&sent, "/error"))
}

/// By mail to ada@example.com through this relay.
async fn mailed(options: KeywrightOptions, relay: &str, password: &str) -> (String, String) {
    let options = options.env("KEYWRIGHT_SMTP_PASSWORD", password).arg("--smtp-url").arg(relay);
    let keywright = Keywright::start(options.arg("--smtp-from").arg("keywright@example.com")).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let added = add(&keywright.operator(), &tenant, "email", "ada@example.com").await;
    tested(&keywright.operator(), &text(&added, "/target/id")).await
}

fn trusting(authority: &Authority) -> KeywrightOptions {
    KeywrightOptions::default().env("SSL_CERT_FILE", authority.certificate().display().to_string())
}

#[tokio::test]
async fn mail_goes_encrypted_to_a_server_that_proves_its_name() {
    let (authority, names) = (Authority::new(), Names::start(&[Ipv4Addr::LOCALHOST]));
    let receiver = Receiver::encrypted(&authority.issue("mail.example")).await;
    let named = |options: KeywrightOptions| options.resolver(names.resolv_conf());
    let [from_start, upgraded] = ["smtps", "starttls"].map(|name| receiver.port(name));
    let (wrapped, started) =
        (format!("smtps://ada@mail.example:{from_start}"), format!("smtp://ada@mail.example:{upgraded}"));
    for (nth, relay) in [&wrapped, &started].into_iter().enumerate() {
        let sent = mailed(named(trusting(&authority)), relay, "swordfish").await;
        assert_eq!(sent, ("delivered".into(), String::new()), "{relay}");
        let got = receiver.got();
        assert_eq!(got.len(), nth + 1);
        assert_eq!((&got[nth]["encrypted"], &got[nth]["user"]), (&json!(true), &json!("ada")), "{got:?}");
    }
    let plain = format!("smtp://ada@mail.example:{}", receiver.port("smtp"));
    let (other_name, other_start) =
        (format!("smtps://ada@other.example:{from_start}"), format!("smtp://ada@other.example:{upgraded}"));
    for (options, relay, password) in [
        (named(KeywrightOptions::default()), &wrapped, "swordfish"),
        (named(KeywrightOptions::default()), &started, "swordfish"),
        (named(trusting(&authority)), &other_name, "swordfish"),
        (named(trusting(&authority)), &other_start, "swordfish"),
        (named(trusting(&authority)), &wrapped, "guessed"),
        // It offers no encryption: nothing is said to it.
        (named(trusting(&authority)), &plain, "swordfish"),
    ] {
        let (state, error) = mailed(options, relay, password).await;
        assert!(state == "failed" && error.contains("mail server"), "{relay}: {error}");
        assert!(!error.contains(password) && !error.contains("ada"), "{error}");
    }
    assert_eq!(receiver.got().len(), 2, "none of these got a letter");
}

#[tokio::test]
async fn a_webhook_goes_only_to_a_server_that_proves_its_name() {
    let (authority, names) = (Authority::new(), Names::start(&[Ipv4Addr::LOCALHOST]));
    let receiver = Receiver::encrypted(&authority.issue("hooks.example")).await;
    let url = |host: &str| format!("https://{host}:{}/hook", receiver.port("https"));
    for (trusts, host, expected) in [
        (true, "hooks.example", ""),
        (true, "127.0.0.1", ""),
        (true, "other.example", UNTRUSTED),
        (false, "hooks.example", UNTRUSTED),
    ] {
        let options = if trusts { trusting(&authority) } else { KeywrightOptions::default() };
        let keywright = Keywright::start(options.resolver(names.resolv_conf())).await.unwrap();
        let tenant = create_tenant(&keywright, "Acme").await;
        let added = add(&keywright.operator(), &tenant, "webhook", &url(host)).await;
        receiver.knows(&text(&added, "/secret"));
        let (state, error) = tested(&keywright.operator(), &text(&added, "/target/id")).await;
        assert_eq!((state == "delivered", error.as_str()), (expected.is_empty(), expected), "{host}");
    }
    assert!(receiver.got().len() == 2 && receiver.got().iter().all(|got| got["verified"] == true));
}

#[tokio::test]
async fn a_name_that_turns_to_a_forbidden_address_is_not_dialled() {
    let names = Names::start(&[Ipv4Addr::LOCALHOST]);
    let receiver = Receiver::start().await;
    let options = KeywrightOptions::default().resolver(names.resolv_conf());
    let keywright = Keywright::start(options).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let hook = format!("http://hooks.example:{}/hook", receiver.port("http"));
    let added = add(&keywright.operator(), &tenant, "webhook", &hook).await;
    let target = text(&added, "/target/id");
    assert_eq!(tested(&keywright.operator(), &target).await.0, "delivered");
    let metadata = Ipv4Addr::new(169, 254, 169, 254);
    let forbidden = || async {
        let (state, error) = tested(&keywright.operator(), &target).await;
        assert_eq!((state.as_str(), error.as_str()), ("failed", "its address may not be dialled from here"));
    };
    names.answer_in_turn(&[metadata]);
    forbidden().await;
    // One bad address among good ones is enough.
    names.answer_together(&[Ipv4Addr::LOCALHOST, metadata]);
    forbidden().await;
    // An address of somebody else's is nothing for plain HTTP.
    names.answer_in_turn(&[Ipv4Addr::new(192, 0, 2, 1)]);
    assert!(tested(&keywright.operator(), &target).await.1.starts_with("must be an https:// URL"));
    let body = json!({"tenantId": tenant, "kind": "webhook", "address": hook});
    names.answer_in_turn(&[metadata]);
    assert_eq!(keywright.post(TARGETS, body).await.reason(), "TARGET_NOT_ALLOWED");
    assert_eq!(receiver.got().len(), 1);
}

/// Five tenants with twenty targets each, of which one is in order.
#[tokio::test]
async fn ninety_five_bad_receivers_hold_up_none_of_five_good_ones() {
    let receiver = Receiver::start().await;
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let bad = ["hold", "drip", "flood", "junk", "500", "302"];
    let mut tenants = Vec::new();
    for nth in 0..5 {
        let tenant = create_tenant(&keywright, &format!("Tenant {nth}")).await;
        let (_, token) = owner(&keywright, &tenant).await;
        let ada = keywright.caller(&token);
        let good = text(
            &add(&ada, &tenant, "webhook", &format!("{}/200-{nth}", receiver.hook())).await,
            "/target/id",
        );
        assert_eq!(tested(&ada, &good).await.0, "delivered");
        for place in 0..19 {
            let manner = bad[place % bad.len()];
            add(&ada, &tenant, "webhook", &format!("{}/{manner}-{nth}-{place}", receiver.hook())).await;
        }
        let more = json!({"tenantId": tenant, "kind": "webhook", "address": receiver.hook()});
        assert_eq!(ada.post(TARGETS, more).await.status, 400, "twenty are enough");
        tenants.push((tenant, ada));
    }
    for round in 1..=3usize {
        for (nth, (tenant, _)) in tenants.iter().enumerate() {
            let body = json!({"role": "tenant_owner", "email": format!("round{round}@example.com")});
            keywright.post(&format!("/api/tenants/{tenant}/invitations"), body).await.success();
            let path = format!("/hook/200-{nth}");
            let of_this_round = |got: &Value| {
                got["path"] == path
                    && got["body"]["data"]["details"]["email"] == format!("round{round}@example.com")
            };
            receiver.waits_for(of_this_round).await;
        }
    }
    // Each that does not take its messages shows since when and why; none is given up so soon.
    let path = format!("{TARGETS}?tenantId={}&pageSize=100", tenants[0].0);
    let failing = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        items.iter().filter(|it| it["failingSince"].is_string() && it["lastError"] != "").count() == 19
    };
    let page = keywright.wait_for(&path, LIMIT, failing).await;
    let mut errors: Vec<&str> =
        page["items"].as_array().unwrap().iter().filter_map(|it| it["lastError"].as_str()).collect();
    errors.sort_unstable();
    errors.dedup();
    assert_eq!(
        errors,
        [
            "",
            "a redirect, which is not followed",
            "no answer in HTTP",
            "no answer within 15 seconds",
            "the receiver answered 500"
        ]
    );
    let held =
        page["items"].as_array().unwrap().iter().find(|it| it["address"].as_str().unwrap().contains("/hold"));
    let sent = keywright.get(&format!("{TARGETS}/{}/deliveries", text(held.unwrap(), "/id"))).await.success();
    assert!(sent["items"].as_array().unwrap().iter().all(|it| it["state"] == "pending"), "{sent}");
}

#[tokio::test]
async fn no_name_or_address_makes_a_header() {
    let receiver = Receiver::start().await;
    let options = KeywrightOptions::default().arg("--smtp-url").arg(receiver.smtp());
    let options = options.arg("--smtp-from").arg("keywright@example.com");
    let keywright = Keywright::start(options).await.unwrap();
    for bad in ["Acme\r\nBcc: eve@example.com", "Acme\nBcc: eve@example.com", "Acme\rBcc: eve@example.com"] {
        assert_eq!(keywright.post("/api/tenants", json!({"name": bad})).await.status, 400);
        let contact = json!({"name": "Acme", "contacts": [format!("ada@example.com{}", &bad[4..])]});
        assert_eq!(keywright.post("/api/tenants", contact).await.status, 400);
    }
    let tenant = create_tenant(&keywright, "Acme").await;
    for bad in [
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com>\nRCPT TO:<eve@example.com",
        "a@b.c, d@e.f",
    ] {
        let body = json!({"tenantId": tenant, "kind": "email", "address": bad});
        assert_eq!(keywright.post(TARGETS, body).await.status, 400, "{bad:?}");
    }
    assert!(receiver.got().is_empty());
}
