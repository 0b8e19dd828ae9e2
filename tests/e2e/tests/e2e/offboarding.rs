//! A tenant leaves, by the operator's command: its keys are refused, its people turned away, and what was kept is a file.

use keywright_e2e::database::Database;
use keywright_e2e::{LIMIT, World};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

#[tokio::test]
async fn nothing_is_left_but_what_was_kept() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let key = access.download().await;
    assert!(access.opens(&key).await);

    let typo = world.keywright.cli(&["tenant", "offboard", &world.tenant, "--confirm", "ten_other"]).await;
    assert!(!typo.ok(), "{typo:?}");
    let offboard = ["tenant", "offboard", &world.tenant, "--confirm", &world.tenant, "--watch"];
    let done = world.keywright.cli(&[&offboard[..], &["--wait-timeout", "60s"]].concat()).await;
    assert!(done.ok() && done.stdout.contains("SUCCEEDED"), "{done:?}\n{}", world.keywright.logs());

    assert!(!access.opens(&key).await);
    assert_eq!(world.owner().get("/api/whoami").await.status, 401);
    let gone = world.keywright.get(&format!("/api/tenants/{}", world.tenant)).await;
    assert_eq!((gone.status, gone.reason()), (404, "TENANT_NOT_FOUND"));
    let gone = world.keywright.get(&format!("/api/servers/{}", world.server)).await;
    assert_eq!((gone.status, gone.reason()), (404, "SERVER_NOT_FOUND"));

    let file = world.keywright.work_dir().join("kept.json");
    let name = file.to_string_lossy().into_owned();
    let export = ["tenant", "offboarding", &world.tenant, "export", "--out", &name];
    let exported = world.keywright.cli(&export).await;
    assert!(exported.ok(), "{exported:?}");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["accesses"][0]["id"], access.id.as_str());
    assert!(kept["accesses"][0]["revocation"]["hosts"][0]["refusedAt"].is_string(), "{kept}");
    // No saved credential was another way in: the line stays, its key is destroyed.
    assert_eq!(kept["releasedServers"][0]["managementKeyRemoved"], false);
    assert!(
        kept["auditEvents"].as_array().unwrap().iter().any(|event| event["action"] == "access.provision")
    );
    assert!(!kept.to_string().contains("PRIVATE KEY"));
    let again = world.keywright.cli(&export).await;
    assert!(!again.ok(), "a file that is there is left alone");
}

#[tokio::test]
async fn killed_in_the_middle_it_goes_on_and_leaves_no_key_behind() {
    let mut world = World::embedded().await;
    world.provision().await;
    // Keywright's own key of a server is the platform's: what it was stays known, and its private half does not.
    let own = format!("tenant_id = '{}'", world.tenant);
    let versions = format!("credential_id IN (SELECT id FROM credential WHERE {own})");
    let kept = [("server", own.as_str()), ("credential", &own), ("credential_version", &versions)];
    let everywhere = ["host_key", "held_reference", "material", "data_key"].map(|table| (table, "1 = 1"));
    let rows = async |world: &World, table: &str, which: &str| -> i64 {
        let database = Database::of(&world.keywright, None, "credential").await;
        let count = format!("SELECT COUNT(*) FROM {table} WHERE {which}");
        sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&database.pool).await.unwrap()
    };
    for (table, which) in kept.into_iter().chain(everywhere) {
        assert!(rows(&world, table, which).await > 0, "{table} holds nothing before");
    }
    world.host.stop_server().await;
    let path = format!("/api/tenants/{}/offboard", world.tenant);
    let body = json!({"confirmation": {"tenantId": world.tenant}});
    world.keywright.post(&path, body).await.success();
    world.keywright.wait_for(&path, LIMIT, |it| it["outstandingHosts"] == 1).await;
    world.keywright.kill9().await;
    world.host.start_server().await;
    for _ in 0..4 {
        world.keywright.restart().await.unwrap();
        world.keywright.get(&path).await.success();
        world.keywright.kill9().await;
    }
    world.keywright.restart().await.unwrap();
    world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;

    for (table, which) in kept.into_iter().chain(everywhere) {
        assert_eq!(rows(&world, table, which).await, 0, "{table}");
    }
    let events = format!("/api/audit/events?tenantId={}", world.tenant);
    let events = world.keywright.get(&events).await.success();
    let events = events["items"].as_array().unwrap();
    for action in ["access.provision", "access.revoke", "tenant.offboard"] {
        assert!(events.iter().any(|event| event["action"] == action), "{action} is not in the log any more");
    }
}
