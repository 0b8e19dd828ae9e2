//! Input that is wrong or meant to harm: refused with its reason, and nothing is done.

use keywright_e2e::http::{announce, post_bytes, reason, violated_fields};
use keywright_e2e::world::create_tenant;
use keywright_kit::{Keywright, KeywrightOptions};
use reqwest::Method;
use serde_json::{Value, json};

async fn start() -> Keywright {
    Keywright::start(KeywrightOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_body_that_is_not_right_is_refused_with_its_fields() {
    let keywright = start().await;
    let token = keywright.operator_token();
    let refused = async |body: &[u8]| {
        let (status, error) = post_bytes(&keywright, &token, "/api/tenants", body.to_vec()).await;
        assert_eq!((status, reason(&error)), (400, "VALIDATION_FAILED".into()), "{error}");
        assert_eq!(error["code"], 3, "{error}");
        violated_fields(&error)
    };

    assert_eq!(refused(br#"{"name": "Acme", "nmae": "Acme"}"#).await, ["nmae"]);
    assert_eq!(refused(br#"{"name": 7}"#).await, ["name"]);
    assert_eq!(refused(b"{}").await, ["name"]);
    assert_eq!(refused(br#"{"name": "Acme", "timeZone": "Mars/Olympus"}"#).await, ["timeZone"]);
    for malformed in
        [&b"{"[..], b"[]", b"\"name\"", b"{\"name\": \"\xff\"}", b"null", b"{\"name\":\"a\",\"name\":\"b\"}"]
    {
        refused(malformed).await;
    }
    let deep = [b"{\"name\":".as_slice(), &b"[".repeat(100_000)].concat();
    refused(&deep).await;
    assert_eq!(keywright.get("/api/tenants").await.success()["items"], json!([]));
}

#[tokio::test]
async fn a_huge_body_is_413_and_a_stranger_pays_for_nothing() {
    let keywright = start().await;
    let huge = json!({"name": "x".repeat(1 << 20)}).to_string().into_bytes();
    let token = keywright.operator_token();

    let (status, error) = post_bytes(&keywright, &token, "/api/tenants", huge).await;
    assert_eq!((status, reason(&error)), (413, "PAYLOAD_TOO_LARGE".into()));
    // The body never comes, and is not waited for.
    let head = announce(&keywright, "nonsense", "/api/tenants", 1 << 20).await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
}

#[tokio::test]
async fn paths_queries_and_methods_are_taken_as_the_contract_says() {
    let keywright = start().await;
    let tenant = create_tenant(&keywright, "Acme").await;
    let get = async |path: &str| {
        let answer = keywright.get(path).await;
        (answer.status, answer.reason().to_owned())
    };
    let validation = |status: u16| (status, "VALIDATION_FAILED".to_owned());

    assert_eq!(get("/api/tenants?pagesize=1").await, validation(400));
    assert_eq!(get("/api/tenants?pageSize=one").await, validation(400));
    assert_eq!(get("/api/tenants?pageToken=made-up").await, validation(400));
    assert_eq!(get("/api/tenants/ten_aaaaaaaaaaaaaaaaaaaaaaaaaa").await, (404, "TENANT_NOT_FOUND".into()));
    assert_eq!(get("/api/tenants/..%2f..%2fetc").await.0, 404);
    assert_eq!(get("/api/nothing").await, (404, "ROUTE_NOT_FOUND".into()));
    let put = keywright.operator().send(Method::PUT, "/api/tenants", Some(json!({})), &[]).await;
    assert_eq!((put.status, put.headers["allow"].to_str().unwrap()), (405, "GET, POST"));
    let body = json!({"tenantId": "ten_other", "role": "tenant_owner", "email": "a@example.com"});
    let other = keywright.post(&format!("/api/tenants/{tenant}/invitations"), body).await;
    assert_eq!((other.status, other.reason()), (400, "VALIDATION_FAILED"), "{}", other.json);
}

#[tokio::test]
async fn targets_that_may_not_be_dialled_are_not() {
    let keywright = start().await;
    let tenant = create_tenant(&keywright, "Acme").await;
    let register = async |host: &str, port: u64| {
        let body = json!({"tenantId": tenant, "name": host, "host": host, "port": port, "acceptNew": true});
        let answer = keywright.post("/api/servers", body).await;
        assert!(answer.status >= 400, "{host} was taken: {}", answer.json);
        answer.reason().to_owned()
    };

    assert_eq!(register("169.254.169.254", 22).await, "TARGET_NOT_ALLOWED");
    assert_eq!(register("224.0.0.1", 22).await, "TARGET_NOT_ALLOWED");
    assert_eq!(register("fe80::1", 22).await, "TARGET_NOT_ALLOWED");
    let own = keywright.url().rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(register("127.0.0.1", own).await, "TARGET_NOT_ALLOWED");
    for host in ["http://example.com", "10.0.0.0/8", "a b", "", "-oProxyCommand=id", "host\nname"] {
        assert_eq!(register(host, 22).await, "VALIDATION_FAILED", "{host:?}");
    }
    assert_eq!(register("127.0.0.1", 70_000).await, "VALIDATION_FAILED");
    assert_eq!(keywright.get("/api/servers").await.success()["items"], json!([]));
}

#[tokio::test]
async fn accounts_that_nobody_may_have_are_refused() {
    let world = keywright_e2e::World::embedded().await;
    let path = format!("/api/tenants/{}/ssh-access", world.tenant);
    for account in ["root", "daemon", "www-data"] {
        let body = json!({"serverIds": [world.server], "account": account, "createAccount": true});
        let answer = world.keywright.post(&path, body).await;
        assert_eq!((answer.status, answer.reason()), (409, "ACCOUNT_NOT_ALLOWED"), "{account}");
    }
    for account in ["a b", "-x", "a;id", "../x", "x\ny", "$(id)"] {
        let body = json!({"serverIds": [world.server], "account": account, "createAccount": true});
        assert_eq!(world.keywright.post(&path, body).await.reason(), "VALIDATION_FAILED", "{account:?}");
    }
    let missing = json!({"serverIds": [world.server], "account": "nobody-here"});
    let started = world.keywright.post(&path, missing).await;
    let ended = match started.status {
        200 => {
            let rotation = keywright_e2e::text(&started.json, "/recentRotations/0/id");
            let path = format!("/api/rotations/{rotation}");
            world.keywright.wait_for(&path, keywright_e2e::LIMIT, keywright_e2e::access::has_ended).await
        }
        _ => json!({"state": "failed", "reason": started.reason()}),
    };
    assert_eq!(
        (&ended["state"], &ended["reason"]),
        (&json!("failed"), &json!("ACCOUNT_NOT_FOUND")),
        "{ended}"
    );
    let none: Value = world.keywright.get("/api/servers").await.success();
    assert_eq!(none["items"].as_array().unwrap().len(), 1);
}
