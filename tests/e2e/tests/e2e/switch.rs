//! Servers move to another saved credential: the one that logs in moves, the others keep what works.

use keywright_e2e::world::register;
use keywright_e2e::{World, audit_log, text};
use keywright_kit::{KeyType, keygen};
use serde_json::{Value, json};

on_every_pair!(a_switch_moves_the_servers_that_the_new_credential_opens);

async fn a_switch_moves_the_servers_that_the_new_credential_opens(world: World) {
    let (old, new) =
        (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::EcdsaP256, "").await.unwrap());
    world.host.add_user("deploy");
    world.host.add_user("locked");
    world.host.write_authorized_keys("deploy", format!("{}\n{}\n", old.public_line(), new.public_line()));
    world.host.write_authorized_keys("locked", old.public_line());
    let (from, to) = (save(&world, &old.private_text()).await, save(&world, &new.private_text()).await);
    let other = register(&world.keywright, &world.tenant, &world.host, "web-2").await;
    let inactive = register(&world.keywright, &world.tenant, &world.host, "web-3").await;
    bind(&world, &world.server, &from, "deploy").await;
    bind(&world, &other, &from, "locked").await;
    bind(&world, &inactive, &from, "deploy").await;
    world.keywright.post(&format!("/api/servers/{inactive}/deactivate"), json!({})).await.success();

    let switched = world
        .keywright
        .cli(&["server", "credential-switch", &from, "--to", &to, "--test", "-o", "json"])
        .await;
    assert_eq!(switched.code, 9, "{switched:?}");
    let switched: Value = serde_json::from_str(&switched.stdout).unwrap();

    let outcomes: Vec<(String, String, String)> = switched["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (text(it, "/serverName"), text(it, "/outcome"), text(it, "/reason")))
        .collect();
    let expected = [
        ("web-1", "switched", ""),
        ("web-2", "test_failed", "AUTHENTICATION_REJECTED"),
        ("web-3", "refused", "SERVER_INACTIVE"),
    ];
    assert_eq!(outcomes, expected.map(|(name, how, why)| (name.to_owned(), how.to_owned(), why.to_owned())));
    assert_eq!((&switched["switched"], &switched["kept"]), (&json!(1), &json!(2)));
    assert_eq!(bound(&world, &world.server).await, (to.clone(), "HEALTHY".to_owned()));
    assert_eq!(bound(&world, &other).await, (from.clone(), "HEALTHY".to_owned()));
    let test =
        world.keywright.post(&format!("/api/servers/{}/connectivity-tests", world.server), json!({})).await;
    let test = test.success();
    assert_eq!((&test["status"], &test["credentialId"]), (&json!("healthy"), &json!(to)));

    let log = audit_log::settled(&world.keywright, "action=credential.switch").await;
    let about = |target: &str| {
        let mine = |event: &&Value| event["target"] == target;
        log.iter().find(mine).unwrap_or_else(|| panic!("no event about {target}")).clone()
    };
    assert_eq!(about(&from)["outcome"], "succeeded");
    assert_eq!(about(&world.server)["outcome"], "succeeded");
    assert_eq!(about(&other)["reason"], "AUTHENTICATION_REJECTED");
    assert_eq!(about(&inactive)["reason"], "SERVER_INACTIVE");
}

async fn save(world: &World, key: &str) -> String {
    let body = json!({"tenantId": world.tenant, "name": "deploy", "username": "deploy", "privateKey": key});
    text(&world.keywright.post("/api/credentials/ssh", body).await.success(), "/id")
}

async fn bind(world: &World, server: &str, credential: &str, username: &str) {
    let body = json!({"credentialId": credential, "username": username});
    world.keywright.post(&format!("/api/servers/{server}/credentials"), body).await.success();
}

async fn bound(world: &World, server: &str) -> (String, String) {
    let server = world.owner().get(&format!("/api/servers/{server}")).await.success();
    (text(&server, "/credential/credentialId"), text(&server, "/credential/testStatus"))
}

#[tokio::test]
async fn only_an_owner_lets_a_key_be_resolved() {
    let world = World::embedded().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let id = save(&world, &key.private_text()).await;
    let file = world.keywright.work_dir().join("key");
    std::fs::write(&file, key.private_text()).unwrap();
    let allow = ["server", "credential-update", &id, "--allow-resolve", "true", "-o", "json"];

    let refused = world.keywright.cli(&allow).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    let create =
        ["server", "credential-create", "--name", "open", "--tenant", &world.tenant, "--allow-resolve"];
    let create: Vec<&str> =
        create.into_iter().chain(["--private-key-file", file.to_str().unwrap()]).collect();
    assert_eq!(world.keywright.cli(&create).await.code, 4);
    let updated = world.keywright.cli_as(Some(&world.owner_token), &allow, b"").await.success();
    let updated: Value = serde_json::from_str(&updated).unwrap();
    assert_eq!(updated["allowResolve"], true, "{updated}");

    let path = format!("/api/credentials/ssh/{id}");
    let stale = json!({"name": "late", "expectedRevision": "1"});
    let stale = world.owner().send(reqwest::Method::PATCH, &path, Some(stale), &[]).await;
    assert_eq!((stale.status, stale.reason()), (409, "REVISION_MISMATCH"), "{}", stale.json);
    let shown = world.keywright.cli(&["server", "credential-show", &id]).await.success();
    assert!(shown.contains("May be resolved") && shown.contains("yes"), "{shown}");
}
