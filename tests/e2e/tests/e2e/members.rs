//! Members and invitations: who is in, who invites, what a removal ends.

use keywright_e2e::text;
use keywright_e2e::world::{create_tenant, owner};
use keywright_kit::{Answer, Caller, Keywright};
use serde_json::{Value, json};

async fn start() -> (Keywright, String, String) {
    let keywright = Keywright::start(Default::default()).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let (_, token) = owner(&keywright, &tenant).await;
    (keywright, tenant, token)
}

/// Invites somebody, who redeems: his view, and his principal.
async fn join(keywright: &Keywright, by: &Caller, tenant: &str, role: &str) -> (Caller, String) {
    let body = json!({"role": role, "email": "new@example.com"});
    let invited = by.post(&format!("/api/tenants/{tenant}/invitations"), body).await.success();
    let body = json!({"code": text(&invited, "/code"), "name": "New"});
    let redeemed = keywright.anonymous().post("/api/auth/invitations/redeem", body).await.success();
    (keywright.caller(&text(&redeemed, "/token")), text(&redeemed, "/metadata/principalId"))
}

async fn members(by: &Caller, tenant: &str) -> Vec<Value> {
    let listed = by.get(&format!("/api/tenants/{tenant}/members")).await.success();
    listed["items"].as_array().unwrap().clone()
}

async fn remove(by: &Caller, tenant: &str, principal: &str) -> Answer {
    by.delete(&format!("/api/tenants/{tenant}/members/{principal}"), Value::Null).await
}

#[tokio::test]
async fn a_removal_ends_all_that_somebody_held() {
    let (keywright, tenant, token) = start().await;
    let ada = keywright.caller(&token);
    let (admin, admin_id) = join(&keywright, &ada, &tenant, "tenant_admin").await;
    let body = json!({"role": "tenant_member", "name": "his script"});
    let script = admin.post("/api/tokens", body).await.success();
    let script = keywright.caller(&text(&script, "/token"));
    assert_eq!(script.get("/api/servers").await.status, 200);
    let listed = members(&admin, &tenant).await;
    let of = |id: &str| listed.iter().find(|member| member["principalId"] == id).unwrap().clone();
    assert_eq!(listed.len(), 3, "{listed:?}");
    let known = of(&admin_id);
    assert_eq!(
        (&known["role"], &known["source"], &known["kind"]),
        (&json!("tenant_admin"), &json!("invitation"), &json!("user"))
    );

    for refused in
        [remove(&keywright.operator(), &tenant, &admin_id).await, remove(&admin, &tenant, &admin_id).await]
    {
        assert_eq!((refused.status, refused.reason()), (403, "PERMISSION_DENIED"), "{}", refused.json);
    }
    let removed = remove(&ada, &tenant, &admin_id).await.success();
    assert!(removed["removedAt"].is_string(), "{removed}");

    assert_eq!(admin.get("/api/whoami").await.status, 401);
    assert_eq!(script.get("/api/whoami").await.status, 401, "what he created ends with his token");
    let again = remove(&ada, &tenant, &admin_id).await.success();
    assert_eq!(again["removedAt"], removed["removedAt"], "the first instant stays");
    let listed = members(&ada, &tenant).await;
    let kept = listed.iter().find(|member| member["principalId"] == admin_id.as_str()).unwrap();
    assert_eq!((&kept["role"], &kept["removedAt"]), (&json!("tenant_admin"), &removed["removedAt"]));
    assert_eq!(listed.len(), 2, "the script's token holds nothing any more: {listed:?}");
    let unknown = remove(&ada, &tenant, &format!("prn_{}", "a".repeat(26))).await;
    assert_eq!((unknown.status, unknown.reason()), (404, "MEMBER_NOT_FOUND"));
    assert_eq!(remove(&ada, &tenant, "-----BEGIN").await.reason(), "MEMBER_NOT_FOUND");
}

#[tokio::test]
async fn the_last_owner_stays_and_strangers_see_nobody() {
    let (keywright, tenant, token) = start().await;
    let ada = keywright.caller(&token);
    let me = text(&ada.get("/api/whoami").await.success(), "/id");
    let refused = remove(&ada, &tenant, &me).await;
    assert_eq!((refused.status, refused.reason()), (409, "POLICY_FORBIDS"), "{}", refused.json);
    assert_eq!(ada.get("/api/whoami").await.status, 200);

    let (second, second_id) = join(&keywright, &ada, &tenant, "tenant_owner").await;
    // Each removes the other at once: one of them stays.
    let (a, b) = tokio::join!(remove(&ada, &tenant, &second_id), remove(&second, &tenant, &me));
    let stayed = members(&keywright.operator(), &tenant).await;
    let owners = stayed.iter().filter(|member| member["removedAt"].is_null()).count();
    assert_eq!(owners, 1, "{} {} {stayed:?}", a.json, b.json);

    let other = create_tenant(&keywright, "Other").await;
    let (_, token) = owner(&keywright, &other).await;
    let eve = keywright.caller(&token);
    for path in ["members", "invitations"] {
        let answer = eve.get(&format!("/api/tenants/{tenant}/{path}")).await;
        assert_eq!((answer.status, answer.reason()), (404, "TENANT_NOT_FOUND"), "{path}");
    }
    assert_eq!(remove(&eve, &tenant, &me).await.status, 404);
}

#[tokio::test]
async fn an_invitation_is_listed_without_its_code_and_withdrawn_once() {
    let (keywright, tenant, token) = start().await;
    let ada = keywright.caller(&token);
    let path = format!("/api/tenants/{tenant}/invitations");
    let body = json!({"role": "tenant_member", "email": "mem@example.com"});
    let invited = ada.post(&path, body).await.success();
    let (id, code) = (text(&invited, "/id"), text(&invited, "/code"));
    let listed = ada.get(&path).await;
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(&code));
    let listed = listed.success();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[0]["id"], &items[0]["email"]),
        (2, &json!(id), &json!("mem@example.com"))
    );
    assert!(items[0]["redeemedAt"].is_null() && items[1]["redeemedAt"].is_string(), "{listed}");

    let printed = keywright.cli_as(Some(&token), &["tenant", "withdraw-invitation", &tenant, &id], b"").await;
    assert!(printed.ok(), "{printed:?}");

    let body = json!({"code": code, "name": "Mem"});
    let late = keywright.anonymous().post("/api/auth/invitations/redeem", body).await;
    assert_eq!((late.status, late.reason()), (404, "INVITATION_NOT_FOUND"));
    for gone in [id.as_str(), items[1]["id"].as_str().unwrap()] {
        let again = ada.delete(&format!("{path}/{gone}"), Value::Null).await;
        assert_eq!((again.status, again.reason()), (404, "INVITATION_NOT_FOUND"), "{}", again.json);
    }
}

#[tokio::test]
async fn the_command_lists_and_removes() {
    let (keywright, tenant, token) = start().await;
    let ada = keywright.caller(&token);
    let (member, id) = join(&keywright, &ada, &tenant, "tenant_member").await;
    let listed = keywright.cli_as(Some(&token), &["tenant", "members", &tenant], b"").await.success();
    assert!(listed.contains(&id) && listed.contains("Ada Lovelace"), "{listed}");
    let invitations =
        keywright.cli_as(Some(&token), &["tenant", "invitations", &tenant], b"").await.success();
    assert!(invitations.contains("new@example.com"), "{invitations}");
    let asked = keywright.cli_as(Some(&token), &["tenant", "remove-member", &tenant, &id], b"").await;
    assert!(!asked.ok() && asked.stderr.contains("--confirm"), "{asked:?}");
    let done = ["tenant", "remove-member", &tenant, &id, "--confirm", &id];
    keywright.cli_as(Some(&token), &done, b"").await.success();
    assert_eq!(member.get("/api/whoami").await.status, 401);
}

#[tokio::test]
async fn a_tenants_keys_are_opened_to_programs_by_the_tenant_alone() {
    let (keywright, tenant, token) = start().await;
    let ada = keywright.caller(&token);
    let asked = |permission: &str, tenant: Option<&str>| json!({"role": "internal_service", "permissions": [permission], "tenantId": tenant.unwrap_or_default()});
    for permission in ["credential.resolve", "credential.sign"] {
        for at in [None, Some(tenant.as_str())] {
            let refused = keywright.post("/api/tokens", asked(permission, at)).await;
            assert_eq!((refused.status, refused.reason()), (403, "PERMISSION_DENIED"), "{permission} {at:?}");
        }
        let made = ada.post("/api/tokens", asked(permission, None)).await.success();
        assert_eq!(made["metadata"]["tenantId"], tenant, "an owner grants in his tenant");
    }
    for permission in ["access.provision", "reference.write"] {
        assert_eq!(
            ada.post("/api/tokens", asked(permission, Some(&tenant))).await.status,
            403,
            "{permission}"
        );
        let made = keywright.post("/api/tokens", asked(permission, None)).await.success();
        assert!(made["metadata"]["tenantId"].as_str().unwrap_or_default().is_empty());
    }
    assert_eq!(ada.post("/api/tokens", asked("made.up", None)).await.status, 400);
    let auditor = json!({"role": "auditor", "tenantId": tenant});
    assert_eq!(keywright.post("/api/tokens", auditor).await.status, 200, "an auditor of one tenant");
}

#[tokio::test]
async fn everybody_logs_himself_out_and_nobody_else() {
    let (keywright, tenant, token) = start().await;
    let ada = keywright.caller(&token);
    let (admin, _) = join(&keywright, &ada, &tenant, "tenant_admin").await;
    let (member, _) = join(&keywright, &ada, &tenant, "tenant_member").await;
    let another = ada.post("/api/tokens", json!({"role": "tenant_member"})).await.success();
    let script = admin.post("/api/tokens", json!({"role": "tenant_admin"})).await.success();
    let script = keywright.caller(&text(&script, "/token"));
    let token_of = async |who: &Caller| text(&who.get("/api/whoami").await.success(), "/tokenId");
    let log_out = async |by: &Caller, id: &str| {
        by.delete(&format!("/api/tokens/{id}?keepCreated=true"), Value::Null).await.status
    };

    assert_eq!(log_out(&member, &text(&another, "/id")).await, 403, "another one's token");
    assert_eq!(log_out(&member, &token_of(&member).await).await, 200);
    assert_eq!(member.get("/api/whoami").await.status, 401);
    assert_eq!(log_out(&admin, &token_of(&admin).await).await, 200);
    assert_eq!(admin.get("/api/whoami").await.status, 401);
    assert_eq!(script.get("/api/servers").await.status, 200, "what was created outlives the log-out");
    let auditor = keywright.post("/api/tokens", json!({"role": "auditor"})).await.success();
    let auditor = keywright.caller(&text(&auditor, "/token"));
    assert_eq!(log_out(&auditor, &token_of(&auditor).await).await, 200);
}
