//! A server leaves: its tenants' keys go on working, Keywright's own is gone, and the server can be deleted.

use keywright_e2e::{World, text};
use serde_json::json;

#[tokio::test]
async fn what_stays_works_and_what_is_keywrights_is_gone() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let key = access.download().await;
    let release = ["server", "release", &world.server, "--confirm", &world.server];
    let refused = world.keywright.cli(&release).await;
    assert!(!refused.ok() && refused.stderr.contains("LAST_PATH_UNPROVEN"), "{refused:?}");

    let operator = world.keywright.operator();
    let saved = json!({
        "tenantId": world.tenant, "name": "root of web-1", "privateKey": world.bootstrap.private_text(),
        "username": "root",
    });
    let saved = operator.post("/api/credentials/ssh", saved).await.success();
    let credential = text(&saved, "/id");
    let bind = json!({"credentialId": credential, "skipTest": true});
    operator.post(&format!("/api/servers/{}/credentials", world.server), bind).await.success();

    let released = world.keywright.cli(&release).await;
    assert!(released.ok(), "{released:?}\n{}", world.keywright.logs());
    for told in ["OFFER refused", "LOGIN accepted", access.account.as_str(), "never"] {
        assert!(released.stdout.contains(told), "{told}: {released:?}");
    }
    let roots = String::from_utf8(world.host.read_authorized_keys("root").unwrap()).unwrap();
    assert_eq!(roots.lines().filter(|line| line.starts_with("ssh-")).count(), 1, "{roots}");
    assert!(access.opens(&key).await, "the tenant's key goes on working");
    let again = world.keywright.cli(&release).await;
    assert_eq!(again.stdout, released.stdout, "asked again, the same is answered");

    let server = format!("/api/servers/{}", world.server);
    operator.delete(&format!("{server}/credentials"), json!({})).await.success();
    let confirmation = json!({"confirmation": {"serverId": world.server}});
    operator.delete(&server, confirmation).await.success();
}
