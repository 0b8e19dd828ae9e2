//! The end of a grace period: by sshd itself, by Keywright, and proven.

use std::time::Duration;

use keywright_e2e::authorized_keys::lines_of;
use keywright_e2e::{Access, LIMIT, Sshd, Stores, World, text};
use serde_json::json;

#[tokio::test]
async fn sshd_ends_the_old_key_while_keywright_is_down() {
    let mut world = World::embedded().await;
    let provisioned = world.provision().await.show().await;
    let access = Access::new(&world, &provisioned);
    let (old_public, account) = (text(&provisioned, "/publicKey"), access.account.clone());
    let old = access.download().await;
    let rotation = text(&access.rotate("15s").await, "/id");
    let new = access.download().await;
    assert!(access.opens(&old).await, "the old key is refused during its grace");

    world.keywright.kill9().await;
    let access = Access::new(&world, &provisioned);
    let refused = access.is_refused_within(Duration::from_secs(60), &old).await;
    assert!(refused, "sshd did not end the old key: {}", world.host.log());
    assert!(access.opens(&new).await);
    assert_eq!(lines_of(&world.host, &account, &old_public).len(), 1, "nobody was there to remove it");

    world.keywright.restart().await.unwrap();
    let path = format!("/api/rotations/{rotation}");
    world.keywright.wait_for(&path, LIMIT, |it| it["graceEndedAt"].is_string()).await;
    let path = Access::new(&world, &provisioned).path("");
    let show = world.keywright.wait_for(&path, LIMIT, |it| it["activity"] == "none").await;
    assert!(show["graceEndsAt"].is_null(), "{show}");
    assert_eq!(lines_of(&world.host, &account, &old_public), Vec::<String>::new());
}

#[tokio::test]
async fn keywright_removes_the_old_key_of_an_openssh_host_and_proves_it() {
    ends_by_removal(World::new(Stores::Embedded, Sshd::OpenSsh).await, "SSHD").await;
}

#[tokio::test]
async fn keywright_removes_the_old_key_of_a_dropbear_host_and_proves_it() {
    ends_by_removal(World::new(Stores::Embedded, Sshd::Dropbear).await, "KEYWRIGHT").await;
}

async fn ends_by_removal(world: World, enforcer: &str) {
    let access = world.provision().await;
    let old_public = text(&access.show().await, "/publicKey");
    let old = access.download().await;
    let rotation = text(&access.rotate("5s").await, "/id");
    let new = access.download().await;

    let line = access.line_becomes(1, "removed_proven").await;

    assert_eq!(line["graceEnforcedBy"], enforcer, "{line}");
    assert_eq!((&line["receipt"]["method"], &line["receipt"]["accepted"]), (&json!("OFFER"), &json!(false)));
    assert!(!access.opens(&old).await && access.opens(&new).await);
    assert_eq!(lines_of(&world.host, &access.account, &old_public), Vec::<String>::new());
    let path = format!("/api/rotations/{rotation}");
    world.keywright.wait_for(&path, LIMIT, |it| it["graceEndedAt"].is_string()).await;
    assert_eq!(access.show().await["activity"], "none");
}

#[tokio::test]
async fn without_a_grace_period_the_old_key_ends_at_once() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let old = access.download().await;

    access.rotate("0s").await;

    let new = access.download().await;
    access.line_becomes(1, "removed_proven").await;
    assert!(!access.opens(&old).await && access.opens(&new).await);
}
