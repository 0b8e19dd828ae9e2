//! A revocation ends open sessions, and a compromised key never comes back.

use keywright_e2e::{LIMIT, Sshd, Stores, World};
use keywright_kit::{eventually, ssh};
use serde_json::json;

#[tokio::test]
async fn a_compromised_access_loses_its_sessions_on_an_openssh_host() {
    compromised(World::new(Stores::Embedded, Sshd::OpenSsh).await).await;
}

#[tokio::test]
async fn a_compromised_access_loses_its_sessions_on_a_dropbear_host() {
    compromised(World::new(Stores::Embedded, Sshd::Dropbear).await).await;
}

async fn compromised(world: World) {
    let access = world.provision().await;
    let (key, account) = (access.download().await, &access.account);
    let key_path = key.path();
    let session = ssh(&world.host, account, &key_path, "echo open; exec sleep 55");
    let revoke = async {
        assert!(eventually(LIMIT, async || !world.host.sessions(account).await.is_empty()).await);
        access.revoke(json!({"compromised": true})).await
    };

    let (session, revocation) = tokio::join!(session, revoke);

    assert!(!session.ok() && session.stdout.contains("open"), "the session lived on: {session:?}");
    assert_eq!(revocation["compromised"], true);
    assert_ne!(revocation["hosts"][0]["sessionsEnded"], "0", "{revocation}");
    assert_eq!(world.host.sessions(account).await, Vec::<u32>::new());
    let body = json!({"tenantId": world.tenant, "name": "again", "privateKey": key.text()});
    let again = world.keywright.post("/api/credentials/ssh", body).await;
    assert_eq!((again.status, again.reason()), (409, "KEY_COMPROMISED"), "{}", again.json);
}

#[tokio::test]
async fn sessions_are_kept_where_it_is_asked() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let (key, account) = (access.download().await, &access.account);
    let key_path = key.path();
    let session =
        ssh(&world.host, account, &key_path, "touch open; until test -e end; do sleep 0.05; done; echo kept");
    let revoke = async {
        assert!(eventually(LIMIT, async || world.host.home(account).join("open").exists()).await);
        access.revoke(json!({"keepSessions": true})).await;
        world.host.exec(&["touch", &format!("/home/{account}/end")]).await.success();
    };

    let (session, ()) = tokio::join!(session, revoke);

    assert_eq!(session.success(), "kept\n");
    assert!(!access.opens(&key).await);
}
