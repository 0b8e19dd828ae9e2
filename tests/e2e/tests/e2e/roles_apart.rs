//! The same product as five processes: the services and the gateway apart.

use keywright_e2e::access::{has_ended, step_state};
use keywright_e2e::apart::Apart;
use keywright_e2e::{LIMIT, Sshd, World};
use serde_json::json;

#[tokio::test]
async fn services_apart_do_what_one_process_does() {
    let apart = Apart::start();
    let world = World::with(apart.gateway(), None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let old = access.download().await;

    access.rotate("3600s").await;

    let new = access.download().await;
    assert!(access.opens(&old).await && access.opens(&new).await, "{}", apart.logs());
    access.revoke(json!({})).await;
    assert!(!access.opens(&old).await && !access.opens(&new).await);
}

#[tokio::test]
async fn a_killed_service_is_unavailable_and_goes_on_after_its_start() {
    let mut apart = Apart::start();
    let world = World::with(apart.gateway(), None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let old = access.download().await;
    let rotation = access.start_rotation(json!({"gracePeriod": "3600s"})).await;
    let path = format!("/api/rotations/{rotation}");
    let begun = |rotation: &serde_json::Value| step_state(rotation, "install") != "pending";
    world.keywright.wait_for(&path, LIMIT, begun).await;

    apart.kill9("key-lifecycle");
    let refused = world.keywright.get(&path).await;
    assert_eq!((refused.status, refused.reason()), (503, "SERVICE_UNAVAILABLE"), "{}", refused.json);
    assert_eq!(world.keywright.anonymous().get("/readyz").await.status, 503);
    assert_eq!(world.keywright.get("/api/servers").await.status, 200, "the other services are not concerned");
    apart.start_service("key-lifecycle");

    let ended = world.keywright.wait_for(&path, LIMIT, has_ended).await;
    assert_eq!(ended["state"], "succeeded", "{ended}\n{}", apart.logs());
    assert!(access.opens(&old).await && access.opens(&access.download().await).await);
}

#[tokio::test]
async fn without_the_log_nothing_happens_but_a_revocation() {
    let mut apart = Apart::start();
    let world = World::with(apart.gateway(), None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let key = access.download().await;
    apart.kill9("audit");

    let rotate = access.try_rotate(json!({})).await;
    assert_eq!((rotate.status, rotate.reason()), (503, "AUDIT_UNAVAILABLE"), "{}", rotate.json);
    let tenant = world.keywright.post("/api/tenants", json!({"name": "Late"})).await;
    assert_eq!((tenant.status, tenant.reason()), (503, "AUDIT_UNAVAILABLE"), "{}", tenant.json);
    let body = json!({"confirmation": {"accessId": access.id}, "reason": "now"});
    let revocation = world.owner().post(&access.path("/revoke"), body).await.success();
    assert_eq!(access.show().await["status"], "revoked");

    apart.start_service("audit");
    let path = format!("/api/revocations/{}", revocation["id"].as_str().unwrap());
    world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
    assert!(!access.opens(&key).await);
    let log = format!("/api/audit/events?action=access.revoke&target={}&outcome=succeeded", access.id);
    let listed = world.keywright.wait_for(&log, LIMIT, |log| log["items"] != json!([])).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    let names = world.keywright.get("/api/tenants?search=Late").await.success();
    assert_eq!(names["items"], json!([]), "a tenant was made without an intent");
}
