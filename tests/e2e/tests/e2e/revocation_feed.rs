//! A revoked token ends everywhere within seconds: at every service, at every replica, and with it the streams that it
//! opened. Out of contact, nobody is let in who might have been revoked.

use std::time::Duration;

use keywright_domain::caller::ServiceName;
use keywright_e2e::apart::Apart;
use keywright_e2e::exchanged::{SERVICES, ask, channel, exchange};
use keywright_e2e::world::options;
use keywright_e2e::{LIMIT, Sshd, Stores, World, text};
use keywright_kit::{Keywright, eventually, free_port};
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Code;

/// An exchanged token runs out by itself after 60 seconds and 5 of leeway: what ends sooner was ended. On a machine
/// that is not busy it takes about one second; the product promises five.
const SOON: Duration = Duration::from_secs(30);

/// A further operator's token: its id and its secret.
async fn operator(keywright: &Keywright) -> (String, String) {
    let made = keywright.post("/api/tokens", json!({"role": "operator", "name": "second"})).await.success();
    (text(&made, "/id"), text(&made, "/token"))
}

async fn revoke(keywright: &Keywright, id: &str) {
    keywright.delete(&format!("/api/tokens/{id}"), Value::Null).await.success();
}

#[tokio::test]
async fn what_was_exchanged_ends_at_every_service() {
    let apart = Apart::start();
    let keywright = Keywright::start(apart.gateway()).await.unwrap();
    let (id, token) = operator(&keywright).await;
    let store = channel(&apart.url("credential-store"));
    let mut held = Vec::new();
    for service in SERVICES {
        let short = exchange(&store, &apart.data(), &token, service).await.unwrap();
        let at = channel(&apart.url(service.as_str()));
        ask(&at, service, &short).await.unwrap_or_else(|status| panic!("{service:?}: {status}"));
        held.push((service, at, short));
    }

    revoke(&keywright, &id).await;

    let since = Instant::now();
    for (service, at, short) in &held {
        let refused = eventually(
            SOON,
            async || matches!(ask(at, *service, short).await, Err(status) if status.code() == Code::Unauthenticated),
        );
        assert!(refused.await, "{service:?} still takes it\n{}", apart.logs());
        println!("{:>20} refused it after {:?}", service.as_str(), since.elapsed());
    }
    assert!(exchange(&store, &apart.data(), &token, ServiceName::Audit).await.is_err());
    assert_eq!(keywright.caller(&token).get("/api/whoami").await.status, 401);
}

#[tokio::test]
async fn a_replica_hears_of_what_the_other_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (options, _database) = options(Stores::External).await;
    let options = options.data_dir(&data);
    let here = Keywright::start(options.clone()).await.unwrap();
    let inside = free_port().unwrap();
    let inside_address = format!("127.0.0.1:{}", inside.number());
    let there = Keywright::start(options.arg("--internal-listen").arg(&inside_address)).await.unwrap();
    let (id, token) = operator(&here).await;
    let at = channel(&format!("http://{inside_address}"));
    let mut held = Vec::new();
    for service in SERVICES {
        let short = exchange(&at, &data, &token, service).await.unwrap();
        ask(&at, service, &short).await.unwrap_or_else(|status| panic!("{service:?}: {status}"));
        held.push((service, short));
    }

    revoke(&here, &id).await;

    let since = Instant::now();
    for (service, short) in &held {
        let refused = eventually(
            SOON,
            async || matches!(ask(&at, *service, short).await, Err(status) if status.code() == Code::Unauthenticated),
        );
        assert!(refused.await, "{service:?} of the other replica still takes it\n{}", there.logs());
    }
    println!("the other replica refused it after {:?}", since.elapsed());
    assert_eq!(there.caller(&token).get("/api/whoami").await.status, 401);
}

#[tokio::test]
async fn a_token_ends_with_the_one_that_it_was_created_with() {
    let keywright = Keywright::start(Default::default()).await.unwrap();
    let (id, token) = operator(&keywright).await;
    let child = keywright.caller(&token).post("/api/tokens", json!({"role": "auditor"})).await.success();
    assert_eq!(child["metadata"]["parentId"], id);
    let auditor = keywright.caller(&text(&child, "/token"));
    assert_eq!(auditor.get("/api/audit/events").await.status, 200);

    revoke(&keywright, &id).await;

    assert_eq!(auditor.get("/api/audit/events").await.status, 401);
    let late = keywright.caller(&token).post("/api/tokens", json!({"role": "auditor"})).await;
    assert_eq!(late.status, 401);
}

/// A revocation of access that cannot end, as its host is down, and so can be watched for ever.
async fn endless(world: &World) -> String {
    let access = world.provision().await;
    world.host.stop_server().await;
    let body = json!({"confirmation": {"accessId": access.id}, "reason": "test"});
    let started = world.keywright.post(&access.path("/revoke"), body).await.success();
    format!("/api/revocations/{}/watch", text(&started, "/id"))
}

/// Opens a watch and sees its first event; the task answers what comes after it, once the watch has ended.
async fn watch(keywright: &Keywright, token: &str, path: &str) -> tokio::task::JoinHandle<String> {
    let request = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = request.get(format!("{}{path}", keywright.url())).bearer_auth(token);
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let first = response.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"id: 1\nevent: snapshot"), "{first:?}");
    tokio::spawn(async move { response.text().await.unwrap_or_else(|error| format!("cut off: {error}")) })
}

#[tokio::test]
async fn an_open_watch_ends_with_its_token() {
    let world = World::embedded().await;
    let path = endless(&world).await;
    let (id, token) = operator(&world.keywright).await;
    let ends = watch(&world.keywright, &token, &path).await;
    let lives = watch(&world.keywright, &world.keywright.operator_token(), &path).await;

    let since = Instant::now();
    revoke(&world.keywright, &id).await;

    let events = tokio::time::timeout(SOON, ends).await.expect("the watch went on").unwrap();
    println!("the watch ended after {:?}", since.elapsed());
    assert!(events.contains("UNAUTHENTICATED"), "{events}");
    assert!(!lives.is_finished(), "a watch of another token ended too");
    lives.abort();
}

#[tokio::test]
async fn out_of_contact_watches_end_and_only_exchanged_tokens_are_accepted() {
    let mut apart = Apart::start();
    let world = World::with(apart.gateway(), None, Sshd::OpenSsh).await;
    let path = endless(&world).await;
    let token = world.keywright.operator_token();
    let store = channel(&apart.url("credential-store"));
    let short = exchange(&store, &apart.data(), &token, ServiceName::Audit).await.unwrap();
    let audit = channel(&apart.url("audit"));
    let open = watch(&world.keywright, &token, &path).await;

    apart.kill9("credential-store");

    let events = tokio::time::timeout(LIMIT, open).await.expect("the watch went on").unwrap();
    assert!(events.contains("SERVICE_UNAVAILABLE"), "{events}\n{}", apart.logs());
    let known = ask(&audit, ServiceName::Audit, &short).await;
    assert!(known.is_ok(), "within its 60 seconds: {known:?}");
    let direct = ask(&audit, ServiceName::Audit, &token).await.unwrap_err();
    assert_eq!(direct.code(), Code::Unavailable, "{direct}");
    // Each process has its own clock of when it last heard: the gateway may be the last to know.
    let knows = eventually(LIMIT, async || {
        let refused = world.keywright.get("/api/whoami").await;
        assert_eq!((refused.status, refused.reason()), (503, "SERVICE_UNAVAILABLE"));
        refused.json["message"].as_str().unwrap_or_default().contains("revoked")
    });
    assert!(knows.await, "{}", apart.logs());

    apart.start_service("credential-store");
    let back = eventually(LIMIT, async || world.keywright.get("/api/whoami").await.status == 200);
    assert!(back.await, "{}", apart.logs());
}
