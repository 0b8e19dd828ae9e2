//! Who may: no token, a revoked one, an operator at a download, an invitation redeemed twice.

use keywright_e2e::world::{create_tenant, owner};
use keywright_e2e::{World, text};
use keywright_kit::{Keywright, KeywrightOptions};
use serde_json::{Value, json};

async fn start() -> Keywright {
    Keywright::start(KeywrightOptions::default()).await.unwrap()
}

#[tokio::test]
async fn without_a_valid_token_nothing_answers() {
    let keywright = start().await;
    let altered = {
        let token = keywright.operator_token();
        let (head, _) = token.rsplit_once('.').unwrap();
        format!(
            "{head}.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        )
    };
    for caller in [keywright.anonymous(), keywright.caller("nonsense"), keywright.caller(&altered)] {
        let answer = caller.get("/api/whoami").await;
        assert_eq!((answer.status, answer.reason()), (401, "UNAUTHENTICATED"));
        // A stranger does not learn whether the body is well-formed or the tenant exists.
        let answer = caller.post("/api/tenants/ten_x/invitations", json!({"unknown": 1})).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(keywright.operator().get("/api/whoami").await.success()["role"], "operator");
}

#[tokio::test]
async fn a_revoked_token_stops_at_once() {
    let keywright = start().await;
    let created = keywright.post("/api/tokens", json!({"role": "auditor", "name": "audit"})).await.success();
    let auditor = keywright.caller(&text(&created, "/token"));
    assert_eq!(auditor.get("/api/audit/events").await.status, 200);
    assert_eq!(auditor.get("/api/tenants").await.status, 403);

    keywright.delete(&format!("/api/tokens/{}", text(&created, "/id")), Value::Null).await.success();

    let answer = auditor.get("/api/audit/events").await;
    assert_eq!((answer.status, answer.reason()), (401, "UNAUTHENTICATED"));
    let listed = keywright.get("/api/tokens").await.success();
    let revoked = listed["items"].as_array().unwrap().iter().find(|token| token["id"] == created["id"]);
    assert!(revoked.unwrap()["revokedAt"].is_string());
}

#[tokio::test]
async fn an_invitation_works_once() {
    let keywright = start().await;
    let tenant = create_tenant(&keywright, "Acme").await;
    let (code, token) = owner(&keywright, &tenant).await;

    let again = json!({"code": code, "name": "Eve"});
    let again = keywright.anonymous().post("/api/auth/invitations/redeem", again).await;
    let guess = json!({"code": "kwinv-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "name": "Eve"});
    let guess = keywright.anonymous().post("/api/auth/invitations/redeem", guess).await;

    assert_eq!((again.status, again.reason()), (404, "INVITATION_NOT_FOUND"));
    assert_eq!((guess.status, guess.json["message"].clone()), (again.status, again.json["message"].clone()));
    let me = keywright.caller(&token).get("/api/whoami").await.success();
    assert_eq!(
        (&me["role"], &me["tenantId"], &me["kind"]),
        (&json!("tenant_owner"), &json!(tenant), &json!("user"))
    );
}

#[tokio::test]
async fn nobody_grants_what_he_has_not() {
    let keywright = start().await;
    let tenant = create_tenant(&keywright, "Acme").await;
    let (_, token) = owner(&keywright, &tenant).await;
    let owner = keywright.caller(&token);
    let service = json!({"role": "internal_service", "permissions": ["access.provision"]});
    for role in [json!({"role": "operator"}), json!({"role": "auditor"}), service] {
        let answer = owner.post("/api/tokens", role.clone()).await;
        assert_eq!((answer.status, answer.reason()), (403, "PERMISSION_DENIED"), "{role}");
    }
    assert_eq!(owner.post("/api/tenants", json!({"name": "Mine"})).await.status, 403);
    let as_owner = keywright.post("/api/tokens", json!({"role": "tenant_owner", "tenantId": tenant})).await;
    assert_eq!(as_owner.status, 403, "an operator made itself an owner: {}", as_owner.json);
}

#[tokio::test]
async fn an_operator_and_a_member_never_download() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let body = json!({"role": "tenant_member", "email": "mem@example.com"});
    let invited =
        world.owner().post(&format!("/api/tenants/{}/invitations", world.tenant), body).await.success();
    let body = json!({"code": text(&invited, "/code"), "name": "Mem"});
    let member = world.keywright.anonymous().post("/api/auth/invitations/redeem", body).await.success();
    let member = world.keywright.caller(&text(&member, "/token"));

    let body = json!({"confirmation": {"accessId": access.id}});
    for caller in [world.keywright.operator(), member.clone()] {
        let answer = caller.post(&access.path("/download"), body.clone()).await;
        assert_eq!((answer.status, answer.reason()), (403, "PERMISSION_DENIED"));
    }

    assert_eq!(member.post(&access.path("/rotate"), body).await.status, 403);
    assert_eq!(member.get("/api/audit/events").await.status, 403);
    assert_eq!(member.get(&access.path("")).await.status, 200);
    assert_eq!(access.show().await["download"], "available", "a denied download used the key up");
}
