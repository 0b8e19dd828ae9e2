//! Two servers on one PostgreSQL: one rotation runs, and the work of a dead one is taken over.

use keywright_e2e::access::has_ended;
use keywright_e2e::world::options;
use keywright_e2e::{Access, LIMIT, Sshd, Stores, World};
use keywright_kit::Keywright;
use serde_json::{Value, json};

async fn two() -> (World, Keywright, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (options, database) = options(Stores::External).await;
    let options = options.data_dir(&data);
    let world = World::with(options.clone(), database, Sshd::OpenSsh).await;
    let other = Keywright::start(options).await.unwrap();
    (world, other, folder)
}

#[tokio::test]
async fn of_two_requests_to_rotate_one_wins() {
    let (world, other, _folder) = two().await;
    let access = world.provision().await;
    let mut old = access.download().await;
    let body = json!({"confirmation": {"accessId": access.id}, "gracePeriod": "3600s", "dropGraceKey": true});
    let there = other.caller(&world.owner_token);

    for version in 2..5 {
        let (here, path) = (world.owner(), access.path("/rotate"));
        let answers = tokio::join!(here.post(&path, body.clone()), there.post(&path, body.clone()));

        let (won, lost) = if answers.0.status == 200 { answers } else { (answers.1, answers.0) };
        assert_eq!((won.status, lost.status), (200, 409), "{} {}", won.json, lost.json);
        assert_eq!(lost.reason(), "ROTATION_IN_PROGRESS", "{}", lost.json);
        let ended = access.finished(won.json["id"].as_str().unwrap()).await;
        assert_eq!(ended["newVersion"], version);
        let new = access.download().await;
        assert!(access.opens(&old).await && access.opens(&new).await);
        old = new;
    }
    assert_eq!(rotations_of_kind(&access.show().await, "rotate"), 3);
}

fn rotations_of_kind(access: &Value, kind: &str) -> usize {
    access["recentRotations"].as_array().unwrap().iter().filter(|rotation| rotation["kind"] == kind).count()
}

#[tokio::test]
async fn a_replica_takes_over_what_a_killed_one_began() {
    let (mut world, other, _folder) = two().await;
    let provisioned = world.provision().await.show().await;
    let old = Access::new(&world, &provisioned).download().await;
    let rotation = Access::new(&world, &provisioned).start_rotation(json!({"gracePeriod": "3600s"})).await;

    world.keywright.kill9().await;

    let path = format!("/api/rotations/{rotation}");
    let ended = other.wait_for(&path, LIMIT, has_ended).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let access = Access::new(&world, &provisioned);
    assert!(access.opens(&old).await);
    world.keywright.restart().await.unwrap();
    let access = Access::new(&world, &provisioned);
    assert!(access.opens(&access.download().await).await);
}

#[tokio::test]
async fn of_two_downloads_one_gets_the_key() {
    let (world, other, _folder) = two().await;
    let access = world.provision().await;
    let admin = json!({"role": "tenant_admin", "email": "bea@example.com"});
    let path = format!("/api/tenants/{}/invitations", world.tenant);
    let invitation = world.owner().post(&path, admin).await.success();
    let redeem = json!({"code": invitation["code"], "name": "Bea"});
    let admin = other.anonymous().post("/api/auth/invitations/redeem", redeem).await.success();
    let admin = other.caller(admin["token"].as_str().unwrap());
    let body = json!({"confirmation": {"accessId": access.id}});

    let (here, path) = (world.owner(), access.path("/download"));
    let answers = tokio::join!(here.post(&path, body.clone()), admin.post(&path, body.clone()));

    let (won, lost) = if answers.0.status == 200 { answers } else { (answers.1, answers.0) };
    assert_eq!((won.status, lost.status), (200, 409), "{}", lost.json);
    assert_eq!(lost.reason(), "KEY_ALREADY_DOWNLOADED");
    assert!(access.opens(&keywright_e2e::KeyFile::new(&won.bytes)).await);
}
