//! A tenant leaves, by the operator's command: its keys are refused, its people turned away, and what was kept is a file.

use keywright_e2e::World;
use serde_json::Value;

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
