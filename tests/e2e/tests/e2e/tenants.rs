//! Another tenant's objects do not exist: every route that names one is called by the wrong tenant.

use std::collections::BTreeMap;

use keywright_e2e::authorization::cast::{invite, person};
use keywright_e2e::document::{fetch, operations};
use keywright_e2e::world::{create_tenant, owner, wait_for};
use keywright_e2e::{World, text};
use keywright_kit::{KeyType, keygen};
use reqwest::Method;
use serde_json::{Value, json};

/// What no tenant's role may do to anything.
const OPERATORS_ONLY: [(Method, &str); 30] = [
    (Method::POST, "/api/servers/{serverId}/management"),
    (Method::POST, "/api/tenants/{tenantId}/ssh-access"),
    (Method::PATCH, "/api/tenants/{tenantId}"),
    (Method::DELETE, "/api/tenants/{tenantId}"),
    (Method::POST, "/api/tenants/{tenantId}/suspend"),
    (Method::POST, "/api/tenants/{tenantId}/resume"),
    (Method::GET, "/api/servers/{serverId}/management"),
    (Method::POST, "/api/servers/{serverId}/management/rotate"),
    (Method::POST, "/api/servers/{serverId}/release"),
    (Method::POST, "/api/servers/{serverId}/keys/adopt"),
    (Method::DELETE, "/api/servers/{serverId}/keys/adopted"),
    (Method::POST, "/api/tenants/{tenantId}/offboard"),
    (Method::GET, "/api/tenants/{tenantId}/offboard"),
    (Method::GET, "/api/tenants/{tenantId}/offboard/export"),
    (Method::GET, "/api/admin/secrets/tenants/{tenantId}"),
    (Method::GET, "/api/admin/campaigns/{campaignId}"),
    (Method::GET, "/api/admin/campaigns/{campaignId}/targets"),
    (Method::GET, "/api/admin/campaigns/{campaignId}/watch"),
    (Method::POST, "/api/admin/campaigns/{campaignId}/pause"),
    (Method::POST, "/api/admin/campaigns/{campaignId}/resume"),
    (Method::POST, "/api/admin/campaigns/{campaignId}/cancel"),
    (Method::POST, "/api/tenants/{tenantId}/ssh-access/{accessId}/hosts"),
    (Method::DELETE, "/api/tenants/{tenantId}/ssh-access/{accessId}/hosts/{serverId}"),
    (Method::DELETE, "/api/tenants/{tenantId}/ssh-access/{accessId}"),
    (Method::POST, "/api/audit/alerts/{alertId}/acknowledge"),
    (Method::PUT, "/api/audit/alert-rules/{ruleId}"),
    (Method::DELETE, "/api/audit/alert-rules/{ruleId}"),
    (Method::POST, "/api/audit/segments/{segmentId}/retire"),
    (Method::PUT, "/api/policies/tenants/{tenantId}"),
    (Method::PUT, "/api/policies/tenants/{tenantId}/ssh-access/{accessId}"),
];

/// One object of every kind that a path can name.
async fn objects(world: &World) -> BTreeMap<&'static str, String> {
    let access = world.provision().await;
    let rotation = text(&access.show().await, "/recentRotations/0/id");
    let revocation = text(&access.revoke(json!({})).await, "/id");
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let credential = json!({"tenantId": world.tenant, "name": "deploy", "privateKey": key.private_text()});
    let credential = world.keywright.post("/api/credentials/ssh", credential).await.success();
    let log = format!("/api/audit/events?tenantId={}", world.tenant);
    let log = wait_for(&world.keywright, &log, |log| !log["items"].as_array().unwrap().is_empty()).await;
    let tokens = world.owner().get("/api/tokens").await.success();
    let (member, _) = person(&world.keywright, &world.owner(), &world.tenant, "tenant_member").await;
    let invitation = invite(&world.owner(), &world.tenant, "tenant_member").await;
    let target = json!({"tenantId": world.tenant, "kind": "webhook", "address": "http://127.0.0.1:9/"});
    let target = world.owner().post("/api/notification-targets", target).await.success();
    let target = text(&target, "/target/id");
    let fleet = world.owner().post("/api/fleet/connectivity-tests", json!({})).await.success();
    let group = "web";
    let grouped = json!({"name": "grouped", "host": "grouped.example", "group": group});
    world.owner().post("/api/servers", grouped).await.success();
    BTreeMap::from([
        ("tenantId", world.tenant.clone()),
        ("serverId", world.server.clone()),
        ("accessId", access.id.clone()),
        ("rotationId", rotation),
        ("revocationId", revocation),
        ("credentialId", text(&credential, "/id")),
        ("eventId", text(&log, "/items/0/id")),
        ("tokenId", text(&tokens, "/items/0/id")),
        ("principalId", member),
        ("invitationId", text(&invitation, "/id")),
        ("claimId", "clm_aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        ("campaignId", "cmp_aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        ("fleetTestId", text(&fleet, "/id")),
        ("targetId", target),
        ("requestId", "sigreq_aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        ("group", group.to_owned()),
        ("alertId", "alt_aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        ("ruleId", "failed-logins".to_owned()),
        ("segmentId", "0".to_owned()),
        ("path", "0/000.p/1".to_owned()),
    ])
}

#[tokio::test]
async fn every_route_with_an_id_says_404_to_another_tenant() {
    let world = World::embedded().await;
    let objects = objects(&world).await;
    let other = create_tenant(&world.keywright, "Other").await;
    let (_, stranger) = owner(&world.keywright, &other).await;
    let stranger = world.keywright.caller(&stranger);
    let mut seen = 0;

    for operation in operations(&fetch(&world.keywright).await) {
        // Hashes of the log are everybody's: they say nothing to who does not know what was hashed.
        if operation.variables().is_empty() || operation.template == "/api/audit/log/tile/{path}" {
            continue;
        }
        let path = operation.path(&objects);
        let operators = OPERATORS_ONLY.contains(&(operation.method.clone(), operation.template.as_str()));
        if operation.method == Method::GET && !operation.is_watch() && !operators {
            assert_eq!(world.owner().get(&path).await.status, 200, "{path} is hidden from its own tenant");
        }
        let has_body = [Method::POST, Method::PATCH, Method::PUT].contains(&operation.method);
        let body = has_body.then(|| valid_body(&operation.template, &objects));
        let answer = stranger.send(operation.method.clone(), &path, body.clone(), &[]).await;
        if operators {
            // Refused at the door, the same for what does not exist.
            let nobodys = path.replace(&objects["serverId"], "srv_aaaaaaaaaaaaaaaaaaaaaaaaaa");
            let nobodys = nobodys.replace(&objects["tenantId"], "ten_aaaaaaaaaaaaaaaaaaaaaaaaaa");
            let nobodys = stranger.send(operation.method, &nobodys, body, &[]).await;
            assert_eq!((answer.status, &answer.json), (403, &nobodys.json), "{path}");
            continue;
        }
        assert_eq!(answer.status, 404, "{} {path}: {}", operation.method, answer.json);
        assert!(answer.reason().ends_with("_NOT_FOUND"), "{path}: {}", answer.json);
        seen += 1;
    }
    assert!(seen >= 25, "only {seen} routes name an object");
    assert_eq!(world.owner().get(&format!("/api/servers/{}", world.server)).await.status, 200);
}

/// Of RFC 7479, section 2.
const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS";

/// A body that would do something, were it the caller's own object.
fn valid_body(template: &str, objects: &BTreeMap<&str, String>) -> Value {
    let confirmation = |name: &str| json!({"confirmation": {name: objects[name]}});
    let last = template.rsplit('/').next().unwrap_or_default();
    match (template, last) {
        (_, "rename") => json!({"name": "mine now"}),
        (_, "run") => json!({"key": {"publicKey": PUBLIC_KEY, "username": "root"}}),
        (_, "{requestId}") => json!({"refusal": "declined"}),
        (_, "invitations") => json!({"role": "tenant_owner", "email": "eve@example.com"}),
        (_, "ssh-access") => json!({"serverIds": [objects["serverId"]]}),
        (_, "host-keys") => json!({"action": "remove", "fingerprints": ["SHA256:x"]}),
        (_, "credentials") => json!({"credentialId": objects["credentialId"], "skipTest": true}),
        (_, "management") => {
            json!({"bootstrapCredential": {"credentialId": objects["credentialId"], "username": "root"}})
        }
        (_, "rotate" | "download" | "revoke" | "regenerate") if template.contains("ssh-access") => {
            confirmation("accessId")
        }
        _ => json!({}),
    }
}

#[tokio::test]
async fn lists_show_a_tenant_its_own() {
    let world = World::embedded().await;
    world.provision().await;
    let other = create_tenant(&world.keywright, "Other").await;
    let (_, stranger) = owner(&world.keywright, &other).await;
    let stranger = world.keywright.caller(&stranger);

    for list in ["/api/servers", "/api/credentials/ssh"] {
        assert_eq!(stranger.get(list).await.success()["items"], json!([]), "{list}");
    }
    let tenants = stranger.get("/api/tenants").await.success();
    let ids: Vec<&Value> = tenants["items"].as_array().unwrap().iter().map(|tenant| &tenant["id"]).collect();
    assert_eq!(ids, [&json!(other)]);
    let events = stranger.get("/api/audit/events").await.success();
    for event in events["items"].as_array().unwrap() {
        assert_eq!(event["tenantId"], other, "{event}");
    }
    assert_eq!(world.owner().get("/api/servers").await.success()["items"].as_array().unwrap().len(), 1);
}
