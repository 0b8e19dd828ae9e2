//! Hosts and servers that are down: a revocation goes on for ever, a rotation leaves the old key, a first start survives.

use keywright_e2e::access::has_ended;
use keywright_e2e::{Access, LIMIT, World};
use serde_json::json;

#[tokio::test]
async fn a_killed_revocation_finishes() {
    let mut world = World::embedded().await;
    let provisioned = world.provision().await.show().await;
    let key = Access::new(&world, &provisioned).download().await;
    let access = Access::new(&world, &provisioned);
    let body = json!({"confirmation": {"accessId": access.id}});
    let started = world.owner().post(&access.path("/revoke"), body).await.success();

    world.keywright.kill9().await;
    world.keywright.restart().await.unwrap();

    let path = format!("/api/revocations/{}", started["id"].as_str().unwrap());
    let ended = world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
    assert_eq!(ended["hosts"][0]["state"], "REMOVED_PROVEN", "{ended}");
    assert!(!Access::new(&world, &provisioned).opens(&key).await);
}

#[tokio::test]
async fn a_host_that_is_down_is_never_called_revoked() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let key = access.download().await;
    world.host.stop_server().await;
    let body = json!({"confirmation": {"accessId": access.id}, "compromised": true});
    let started = world.owner().post(&access.path("/revoke"), body).await.success();

    let path = format!("/api/revocations/{}", started["id"].as_str().unwrap());
    let tried =
        world.keywright.wait_for(&path, LIMIT, |it| it["hosts"][0]["attempts"].as_i64() > Some(0)).await;
    assert_eq!(
        (&tried["state"], &tried["hosts"][0]["state"]),
        (&json!("running"), &json!("REMOVAL_PENDING")),
        "{tried}"
    );
    assert!(tried["hosts"][0]["exposedMinutes"].as_i64() > Some(0), "{tried}");
    assert_eq!(access.try_download().await.reason(), "ACCESS_REVOKED");

    world.host.start_server().await;
    world.keywright.wait_for(&path, LIMIT, |it| it["hosts"][0]["state"] == "REMOVED_PROVEN").await;
    assert!(!access.opens(&key).await);
}

#[tokio::test]
async fn a_rotation_that_meets_a_host_that_is_down_leaves_the_old_key() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let key = access.download().await;
    world.host.stop_server().await;

    let rotation = access.start_rotation(json!({"gracePeriod": "3600s"})).await;
    let path = format!("/api/rotations/{rotation}");
    let ended = world.keywright.wait_for(&path, LIMIT, has_ended).await;
    world.host.start_server().await;

    assert_eq!(
        (&ended["state"], &ended["reason"]),
        (&json!("failed"), &json!("HOST_UNREACHABLE")),
        "{ended}"
    );
    assert!(access.opens(&key).await);
    let show = access.show().await;
    assert_eq!(
        (&show["version"], &show["activity"], &show["status"]),
        (&json!(1), &json!("none"), &json!("active"))
    );
    access.rotate("3600s").await;
    assert!(access.opens(&key).await && access.opens(&access.download().await).await);
}

#[tokio::test]
async fn the_first_start_survives_sigkill_and_sigterm_is_clean() {
    let mut world = World::embedded().await;
    let token = world.keywright.operator_token();
    world.keywright.kill9().await;
    world.keywright.restart().await.unwrap();
    assert_eq!(world.keywright.operator_token(), token);
    assert_eq!(world.keywright.get("/api/whoami").await.status, 200);
    assert_eq!(world.keywright.terminate().await, 0);
}
