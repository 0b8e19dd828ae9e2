//! The server is killed in the middle of rotations: they finish, and nobody is locked out at any moment.

use std::time::Duration;

use keywright_e2e::access::{has_ended, step_state};
use keywright_e2e::authorized_keys::{foreign_lines, without_ours};
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World};
use keywright_kit::{KeyType, eventually, keygen};
use serde_json::{Value, json};

/// A step of a rotation, and how far it has come when the server dies.
type Moment = (&'static str, &'static str);

#[tokio::test]
async fn a_rotation_killed_before_its_promotion_finishes_on_an_openssh_host() {
    let moments =
        [("generate", "started"), ("install", "started"), ("install", "done"), ("prove", "started")];
    survive(World::new(Stores::Embedded, Sshd::OpenSsh).await, &moments).await;
}

#[tokio::test]
async fn a_rotation_killed_after_its_promotion_finishes_on_an_openssh_host() {
    let moments = [
        ("promote", "started"),
        ("destroy_old", "started"),
        ("expire_old", "started"),
        ("expire_old", "done"),
    ];
    survive(World::new(Stores::Embedded, Sshd::OpenSsh).await, &moments).await;
}

#[tokio::test]
async fn a_rotation_killed_at_any_step_finishes_on_a_dropbear_host() {
    let moments = [("install", "started"), ("prove", "started"), ("promote", "done")];
    survive(World::new(Stores::Embedded, Sshd::Dropbear).await, &moments).await;
}

#[tokio::test]
async fn a_rotation_killed_at_any_step_finishes_on_external_stores() {
    let moments = [("generate", "done"), ("install", "started"), ("promote", "started")];
    survive(World::new(Stores::External, Sshd::OpenSsh).await, &moments).await;
}

async fn survive(mut world: World, moments: &[Moment]) {
    let friend = keygen(KeyType::Ed25519, "").await.unwrap();
    let foreign = foreign_lines(&friend.public_line(), world.sshd);
    let provisioned = world.provision_existing("deploy", &foreign).await.show().await;
    let mut old = Access::new(&world, &provisioned).download().await;
    let mut interrupted = 0;

    for moment in moments {
        let rotation = start_and_watch(&world, &provisioned, moment).await;
        world.keywright.kill9().await;
        let access = Access::new(&world, &provisioned);
        assert!(access.opens(&old).await, "locked out by a kill at {moment:?}");
        world.keywright.restart().await.unwrap();
        let now = world.keywright.get(&format!("/api/rotations/{rotation}")).await.success();
        interrupted += usize::from(!has_ended(&now));

        let access = Access::new(&world, &provisioned);
        assert_never_locked_out(&access, &old, &rotation, &world).await;
        let new = access.download().await;
        assert!(access.opens(&new).await && access.opens(&old).await, "after a kill at {moment:?}");
        assert_one_key_is_in_use(&access, &rotation, moment).await;
        assert_eq!(without_ours(&world, "deploy"), foreign, "after a kill at {moment:?}");
        old = new;
    }
    assert!(interrupted * 2 >= moments.len(), "only {interrupted} kills met a rotation at work");
}

/// Starts a rotation and returns at the moment, or when the rotation was quicker.
async fn start_and_watch(world: &World, provisioned: &Value, (step, state): &Moment) -> String {
    let access = Access::new(world, provisioned);
    let rotation = access.start_rotation(json!({"gracePeriod": "3600s", "dropGraceKey": true})).await;
    let path = format!("/api/rotations/{rotation}");
    let reached = |rotation: &Value| {
        let now = step_state(rotation, step);
        now == *state || now == "done" || has_ended(rotation)
    };
    world.keywright.wait_for(&path, LIMIT, reached).await;
    rotation
}

/// The old key logs in at every look until the rotation has succeeded.
async fn assert_never_locked_out(access: &Access<'_>, old: &KeyFile, rotation: &str, world: &World) {
    let path = format!("/api/rotations/{rotation}");
    let mut last = Value::Null;
    let ended = eventually(LIMIT, async || {
        assert!(access.opens(old).await, "locked out while {last}");
        last = world.keywright.get(&path).await.success();
        has_ended(&last)
    });
    assert!(ended.await, "never finished: {last}\n{}", world.keywright.logs());
    assert_eq!(last["state"], "succeeded", "{last}");
}

async fn assert_one_key_is_in_use(access: &Access<'_>, rotation: &str, moment: &Moment) {
    let show = access.show().await;
    assert_eq!(show["recentRotations"][0]["id"], rotation, "{show}");
    assert_eq!(show["version"], show["recentRotations"][0]["newVersion"], "{show}");
    let lines = show["hosts"][0]["lines"].as_array().unwrap();
    let newest: Vec<&Value> = lines.iter().filter(|line| line["version"] == show["version"]).collect();
    assert_eq!(
        (newest.len(), &newest[0]["state"]),
        (1, &json!("installed")),
        "after a kill at {moment:?}: {show}"
    );
}

#[tokio::test]
async fn kills_one_after_the_other_do_not_stop_a_rotation() {
    let mut world = World::embedded().await;
    let provisioned = world.provision().await.show().await;
    let old = Access::new(&world, &provisioned).download().await;
    let rotation = Access::new(&world, &provisioned).start_rotation(json!({"gracePeriod": "3600s"})).await;

    // Each life is a little longer than the one before, so that every step is cut somewhere.
    for life in (0..6).map(|round| Duration::from_millis(40 * round)) {
        let path = format!("/api/rotations/{rotation}");
        let ended = async || has_ended(&world.keywright.get(&path).await.json);
        eventually(life, ended).await;
        world.keywright.kill9().await;
        assert!(Access::new(&world, &provisioned).opens(&old).await);
        world.keywright.restart().await.unwrap();
    }

    let access = Access::new(&world, &provisioned);
    access.finished(&rotation).await;
    let new = access.download().await;
    assert!(access.opens(&old).await && access.opens(&new).await);
}

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
