//! The web console's sessions, as a browser would use them.

use keywright_e2e::text;
use keywright_e2e::world::{create_tenant, owner};
use keywright_kit::{Answer, Keywright};
use reqwest::Method;
use serde_json::{Value, json};

const SESSION: &str = "/api/auth/session";

async fn start() -> Keywright {
    Keywright::start(Default::default()).await.unwrap()
}

async fn code(keywright: &Keywright) -> String {
    text(&keywright.post("/api/auth/console-codes", json!({})).await.success(), "/code")
}

/// A browser with a session: its cookie, its CSRF token.
struct Browser<'a> {
    keywright: &'a Keywright,
    cookie: String,
    csrf: String,
}

async fn open<'a>(keywright: &'a Keywright, code: &str) -> Browser<'a> {
    let opened = keywright.anonymous().post(SESSION, json!({"code": code})).await;
    let set = opened.headers["set-cookie"].to_str().unwrap().to_owned();
    let opened = opened.success();
    assert_eq!(opened["session"].as_str().unwrap_or_default(), "", "the page sees the secret");
    let (cookie, attributes) = set.split_once(';').unwrap();
    assert_eq!(attributes, " HttpOnly; SameSite=Strict; Path=/", "without TLS it is not Secure");
    Browser { keywright, cookie: cookie.to_owned(), csrf: text(&opened, "/csrfToken") }
}

impl Browser<'_> {
    async fn send(&self, method: Method, path: &str, body: Option<Value>, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("cookie", self.cookie.as_str())];
        headers.extend_from_slice(more);
        self.keywright.anonymous().send(method, path, body, &headers).await
    }

    async fn whoami(&self) -> Answer {
        self.send(Method::GET, "/api/whoami", None, &[]).await
    }
}

#[tokio::test]
async fn a_session_does_what_its_token_may_and_is_not_to_be_forged() {
    let keywright = start().await;
    let browser = open(&keywright, &code(&keywright).await).await;
    assert_eq!(browser.whoami().await.success()["role"], "operator");

    let csrf = ("keywright-csrf", browser.csrf.as_str());
    let tenant = || Some(json!({"name": "From the console"}));
    for (headers, expected) in [
        (vec![], 403),
        (vec![("keywright-csrf", "")], 403),
        (vec![("keywright-csrf", "0000")], 403),
        (vec![csrf, ("sec-fetch-site", "cross-site")], 403),
        (vec![csrf, ("sec-fetch-site", "same-site")], 403),
        (vec![csrf, ("origin", "https://evil.example")], 403),
        (vec![csrf, ("origin", "null")], 403),
        (vec![csrf, ("sec-fetch-site", "same-origin"), ("origin", keywright.url().as_str())], 200),
        (vec![csrf], 200),
    ] {
        let answer = browser.send(Method::POST, "/api/tenants", tenant(), &headers).await;
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.json);
    }
    let read = browser.send(Method::GET, "/api/tenants", None, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(read.status, 403, "another site reads");
    let other = open(&keywright, &code(&keywright).await).await;
    let crossed = [("keywright-csrf", other.csrf.as_str())];
    assert_eq!(browser.send(Method::POST, "/api/tenants", tenant(), &crossed).await.status, 403);
}

#[tokio::test]
async fn a_code_works_once_and_a_session_ends_when_it_is_closed() {
    let keywright = start().await;
    let code = code(&keywright).await;
    let browser = open(&keywright, &code).await;
    for spent in [code.as_str(), "kwcon-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "x"] {
        let again = keywright.anonymous().post(SESSION, json!({"code": spent})).await;
        assert_eq!((again.status, again.reason()), (401, "UNAUTHENTICATED"), "{}", again.json);
        assert!(!again.headers.contains_key("set-cookie"));
    }

    assert_eq!(browser.send(Method::DELETE, SESSION, None, &[]).await.status, 403, "no CSRF token");
    let closed = browser.send(Method::DELETE, SESSION, None, &[("keywright-csrf", &browser.csrf)]).await;
    assert!(closed.headers["set-cookie"].to_str().unwrap().ends_with("Max-Age=0"));
    closed.success();

    assert_eq!(browser.whoami().await.status, 401);
    let again = browser.send(Method::DELETE, SESSION, None, &[("keywright-csrf", &browser.csrf)]).await;
    assert_eq!(again.status, 401);
    let bearer = keywright.delete(SESSION, Value::Null).await;
    assert_eq!(bearer.status, 401, "a token is no session: {}", bearer.json);
    let guess = [("cookie", "keywright_session=kwses-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")];
    assert_eq!(keywright.anonymous().send(Method::GET, "/api/whoami", None, &guess).await.status, 401);
    let secret = browser.cookie.split_once('=').unwrap().1;
    assert_eq!(keywright.caller(secret).get("/api/whoami").await.status, 401, "a session is no bearer token");
}

#[tokio::test]
async fn of_two_who_redeem_a_code_at_once_one_gets_a_session() {
    let keywright = start().await;
    for _ in 0..5 {
        let body = json!({"code": code(&keywright).await});
        let stranger = keywright.anonymous();
        let (a, b) = tokio::join!(stranger.post(SESSION, body.clone()), stranger.post(SESSION, body.clone()));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "{} {}", a.json, b.json);
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_programs_get_none() {
    let keywright = start().await;
    let tenant = create_tenant(&keywright, "Acme").await;
    let (_, token) = owner(&keywright, &tenant).await;
    let ada = keywright.caller(&token);
    let id = text(&ada.get("/api/whoami").await.success(), "/tokenId");
    let made = ada.post("/api/auth/console-codes", json!({})).await.success();
    let browser = open(&keywright, &text(&made, "/code")).await;
    let me = browser.whoami().await.success();
    assert_eq!((&me["role"], &me["tenantId"]), (&json!("tenant_owner"), &json!(tenant)));
    assert_ne!(me["tokenId"], id, "the session has a token of its own");
    let waiting = text(&ada.post("/api/auth/console-codes", json!({})).await.success(), "/code");

    keywright.delete(&format!("/api/tokens/{id}"), Value::Null).await.success();

    assert_eq!(browser.whoami().await.status, 401);
    let late = keywright.anonymous().post(SESSION, json!({"code": waiting})).await;
    assert_eq!(late.status, 401, "a code of a revoked token: {}", late.json);
    let body = json!({"role": "internal_service", "permissions": ["access.provision"]});
    let program = keywright.post("/api/tokens", body).await.success();
    let program = keywright.caller(&text(&program, "/token"));
    let refused = program.post("/api/auth/console-codes", json!({})).await;
    assert_eq!((refused.status, refused.reason()), (403, "PERMISSION_DENIED"), "{}", refused.json);
}

#[tokio::test]
async fn the_command_prints_an_address_that_works_once() {
    let keywright = start().await;
    let printed = keywright.cli(&["console", "--print", "-o", "json"]).await.success();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let address = text(&printed, "/url");
    let (page, code) = address.split_once("#code=").unwrap();
    assert_eq!(page, format!("{}/", keywright.url()));
    assert_eq!(open(&keywright, code).await.whoami().await.status, 200);
}
