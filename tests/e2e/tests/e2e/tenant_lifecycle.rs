//! A tenant is suspended, resumed and deleted, by the operator's command, while its people are at work.

use keywright_e2e::authorization::cast::{invite, person};
use keywright_e2e::world::{create_tenant, owner};
use keywright_e2e::{LIMIT, World, text};
use keywright_kit::{Answer, Caller, Keywright, KeywrightOptions, eventually};
use serde_json::{Value, json};

fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.reason())
}

const SUSPENDED: (u16, &str) = (409, "TENANT_SUSPENDED");

#[tokio::test]
async fn a_suspended_tenant_is_turned_away_and_what_ends_goes_on_to_end() {
    let world = World::embedded().await;
    let (operator, owner) = (world.keywright.operator(), world.owner());
    let access = world.provision().await;
    let key = access.download().await;
    let rotation = access.start_rotation(json!({"gracePeriod": "8s"})).await;
    access.finished(&rotation).await;
    let auditor = json!({"role": "auditor", "tenantId": world.tenant});
    let auditor = text(&operator.post("/api/tokens", auditor).await.success(), "/token");
    let program = json!({"role": "tenant_admin", "name": "pipeline"});
    let program = text(&owner.post("/api/tokens", program).await.success(), "/token");
    let open = text(&invite(&owner, &world.tenant, "tenant_member").await, "/code");

    let suspended = world.keywright.cli(&["tenant", "suspend", &world.tenant, "--comment", "unpaid"]).await;
    assert!(suspended.ok() && suspended.stdout.contains("SUSPENDED"), "{suspended:?}");

    for caller in [owner.clone(), world.keywright.caller(&auditor), world.keywright.caller(&program)] {
        assert_eq!(refusal(&caller.get("/api/whoami").await), SUSPENDED);
    }
    assert_eq!(refusal(&access.try_download().await), SUSPENDED);
    let redeem = json!({"code": open, "name": "Late"});
    assert_eq!(
        refusal(&world.keywright.anonymous().post("/api/auth/invitations/redeem", redeem).await),
        SUSPENDED
    );
    for (path, body) in new_work(&world, &access.id) {
        assert_eq!(refusal(&operator.post(&path, body).await), SUSPENDED, "{path}");
    }
    // The grace period of the old key ends at its time, and a revocation reaches the host.
    let shown = access.path("");
    let retired = |access: &Value| line(access, 1)["state"] == "removed_proven";
    world.keywright.wait_for(&shown, LIMIT, retired).await;
    assert!(!access.opens(&key).await);
    let revoke = json!({"confirmation": {"accessId": access.id}});
    let revocation = operator.post(&access.path("/revoke"), revoke).await.success();
    let path = format!("/api/revocations/{}", text(&revocation, "/id"));
    world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;

    let resumed = world.keywright.cli(&["tenant", "resume", &world.tenant]).await;
    assert!(resumed.ok() && resumed.stdout.contains("ACTIVE"), "{resumed:?}");
    let back = eventually(LIMIT, async || owner.get("/api/whoami").await.status == 200).await;
    assert!(back, "{}", world.keywright.logs());
    assert_eq!(operator.get(&format!("/api/servers?tenantId={}", world.tenant)).await.status, 200);
}

/// What an operator would begin for the tenant.
fn new_work(world: &World, access: &str) -> Vec<(String, Value)> {
    let (tenant, server) = (&world.tenant, &world.server);
    let bootstrap = json!({"privateKey": world.bootstrap.private_text(), "username": "root"});
    vec![
        ("/api/servers".to_owned(), json!({"tenantId": tenant, "name": "new", "host": "new.example"})),
        (
            "/api/credentials/ssh".to_owned(),
            json!({"tenantId": tenant, "name": "new", "privateKey": world.bootstrap.private_text()}),
        ),
        (format!("/api/tenants/{tenant}/ssh-access"), json!({"serverIds": [server], "account": "new"})),
        (
            format!("/api/tenants/{tenant}/ssh-access/{access}/rotate"),
            json!({"confirmation": {"accessId": access}, "dropGraceKey": true}),
        ),
        (format!("/api/servers/{server}/management"), json!({"bootstrapCredential": bootstrap})),
        (
            format!("/api/tenants/{tenant}/invitations"),
            json!({"role": "tenant_owner", "email": "new@example.com"}),
        ),
        ("/api/tokens".to_owned(), json!({"role": "auditor", "tenantId": tenant})),
    ]
}

fn line(access: &Value, version: i64) -> Value {
    let lines = access["hosts"][0]["lines"].as_array().cloned().unwrap_or_default();
    lines.into_iter().find(|line| line["version"] == version).unwrap_or_default()
}

#[tokio::test]
async fn a_deleted_tenant_leaves_nobody_behind() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let (_, token) = owner(&keywright, &tenant).await;
    let owner: Caller = keywright.caller(&token);
    let (_, member) = person(&keywright, &owner, &tenant, "tenant_member").await;
    let open = text(&invite(&owner, &tenant, "tenant_member").await, "/code");
    let server = json!({"name": "web", "host": "web.example"});
    let server = text(&owner.post("/api/servers", server).await.success(), "/id");

    let updated = ["tenant", "update", &tenant, "--external-id", "crm-1", "--contact", "ops@acme.example"];
    let updated = keywright.cli(&[&updated[..], &["--label", "plan=gold"]].concat()).await;
    assert!(updated.ok() && updated.stdout.contains("plan=gold"), "{updated:?}");
    let shown = keywright.get(&format!("/api/tenants/{tenant}")).await.success();
    assert_eq!((&shown["contacts"], &shown["revision"]), (&json!(["ops@acme.example"]), &json!("2")));
    let cleared = json!({"labels": {"plan": "tin"}, "clearContacts": true, "expectedRevision": "1"});
    let (operator, path) = (keywright.operator(), format!("/api/tenants/{tenant}"));
    let stale = operator.send(reqwest::Method::PATCH, &path, Some(cleared), &[]).await;
    assert_eq!((stale.status, stale.reason()), (409, "REVISION_MISMATCH"), "{}", stale.json);

    let used = keywright.cli(&["tenant", "delete", &tenant, "--confirm", &tenant]).await;
    assert!(!used.ok() && used.stderr.contains("1 servers"), "{used:?}");
    let confirmation = json!({"confirmation": {"serverId": server}});
    owner.delete(&format!("/api/servers/{server}"), confirmation).await.success();
    let typo = keywright.cli(&["tenant", "delete", &tenant, "--confirm", "ten_other"]).await;
    assert!(!typo.ok(), "{typo:?}");
    let deleted = keywright.cli(&["tenant", "delete", &tenant, "--confirm", &tenant]).await;
    assert!(deleted.ok(), "{deleted:?}");

    for token in [&token, &member] {
        let answer = keywright.caller(token).get("/api/whoami").await;
        assert_eq!((answer.status, answer.reason()), (401, "UNAUTHENTICATED"));
    }
    let redeem = json!({"code": open, "name": "Late"});
    let redeem = keywright.anonymous().post("/api/auth/invitations/redeem", redeem).await;
    assert_eq!((redeem.status, redeem.reason()), (404, "INVITATION_NOT_FOUND"));
    let again = keywright.get(&format!("/api/tenants/{tenant}")).await;
    assert_eq!((again.status, again.reason()), (404, "TENANT_NOT_FOUND"));
    let events = keywright.get(&format!("/api/audit/events?tenantId={tenant}&action=tenant.delete")).await;
    assert!(!events.success()["items"].as_array().unwrap().is_empty(), "its history stays");
    keywright.post("/api/tenants", json!({"name": "Acme", "externalId": "crm-1"})).await.success();
}
