//! A revocation waits for nothing: not for the log, not for a host that is dead.

use keywright_e2e::apart::Apart;
use keywright_e2e::world::{manage, register, start_host};
use keywright_e2e::{Access, LIMIT, Sshd, World, text};
use keywright_kit::{KeyType, TestHost, eventually, keygen, ssh};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Registers and manages a host: `srv_…`.
async fn take(world: &World, host: &TestHost, name: &str) -> String {
    let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("root", format!("{}\n", bootstrap.public_line()));
    let server = register(&world.keywright, &world.tenant, host, name).await;
    manage(&world.keywright, &server, &bootstrap).await;
    server
}

fn proven(revocation: &Value) -> usize {
    revocation["hosts"].as_array().unwrap().iter().filter(|host| host["state"] == "REMOVED_PROVEN").count()
}

#[tokio::test]
async fn of_ten_hosts_nine_are_proven_while_one_hangs() {
    let world = World::embedded().await;
    let mut hosts = Vec::new();
    let mut servers = vec![world.server.clone()];
    for number in 1..10 {
        let host = start_host(Sshd::OpenSsh).await;
        servers.push(take(&world, &host, &format!("fleet-{number}")).await);
        hosts.push(host);
    }
    let path = format!("/api/tenants/{}/ssh-access", world.tenant);
    let body = json!({"serverIds": servers, "createAccount": true});
    let started = world.keywright.post(&path, body).await.success();
    let access = Access::new(&world, &started);
    access.finished(&text(&started, "/recentRotations/0/id")).await;
    let key = access.download().await;
    let dead = &hosts[4];
    dead.stop_server().await;
    // It takes connections and never says a word.
    let silence = TcpListener::bind((dead.address(), dead.port())).await.unwrap();

    let body = json!({"confirmation": {"accessId": access.id}});
    let started = world.owner().post(&access.path("/revoke"), body).await.success();

    let path = format!("/api/revocations/{}", text(&started, "/id"));
    let nine = world.keywright.wait_for(&path, LIMIT, |it| proven(it) == 9).await;
    let silent =
        nine["hosts"].as_array().unwrap().iter().find(|host| host["serverName"] == "fleet-5").unwrap();
    assert_eq!((&nine["state"], &silent["state"]), (&json!("running"), &json!("REMOVAL_PENDING")), "{nine}");
    assert!(silent["attempts"].as_i64() < Some(2), "the others waited for it: {nine}");
    assert!(silent["exposedMinutes"].as_i64() > Some(0), "{nine}");
    assert_eq!(access.try_download().await.reason(), "ACCESS_REVOKED");

    drop(silence);
    dead.start_server().await;
    let ended = world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
    assert_eq!(proven(&ended), 10, "{ended}");
    for host in [&hosts[0], dead] {
        assert!(!ssh(host, &access.account, &key.path(), "true").await.ok());
    }
}

#[tokio::test]
async fn hosts_are_cleared_while_the_log_is_down_and_it_is_told_of_it_later() {
    let mut apart = Apart::start();
    let world = World::with(apart.gateway(), None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let key = access.download().await;
    apart.kill9("audit");

    let revocation = access.revoke(json!({})).await;

    assert_eq!(revocation["hosts"][0]["state"], "REMOVED_PROVEN", "{revocation}\n{}", apart.logs());
    assert!(!access.opens(&key).await);
    apart.start_service("audit");
    for (action, target) in
        [("access.revoke", &access.id), ("host.revoke", &world.server), ("proof.offer", &world.server)]
    {
        let log = format!("/api/audit/events?action={action}&target={target}&outcome=succeeded");
        world.keywright.wait_for(&log, LIMIT, |log| log["items"] != json!([])).await;
    }
}

#[tokio::test]
async fn the_sessions_of_a_revoked_key_are_ended_and_counted_and_others_go_on() {
    let world = World::embedded().await;
    let friend = keygen(KeyType::Ed25519, "").await.unwrap();
    let access = world.provision_existing("deploy", &format!("{}\n", friend.public_line())).await;
    let key = access.download().await;
    let (key_path, friends_path) = (key.path(), friend.private_file());
    let of_key = || ssh(&world.host, "deploy", &key_path, "exec sleep 55");
    let wait = "until test -e end; do sleep 0.05; done; echo kept";
    let of_friend = ssh(&world.host, "deploy", &friends_path, wait);
    let revoke = async {
        assert!(eventually(LIMIT, async || world.host.sessions("deploy").await.len() == 3).await);
        let revocation = access.revoke(json!({})).await;
        world.host.exec(&["touch", "/home/deploy/end"]).await.success();
        revocation
    };

    let (one, two, friends, revocation) = tokio::join!(of_key(), of_key(), of_friend, revoke);

    assert!(!one.ok() && !two.ok(), "{one:?} {two:?}");
    assert_eq!(friends.success(), "kept\n");
    let host = &revocation["hosts"][0];
    assert_eq!(host["sessionsEnded"], "2", "{host}");
    assert_eq!(host["residualAccess"], json!(["FOREIGN_KEYS 1"]), "{host}");
    let shown = world.keywright.cli(&["revocation", "show", &text(&revocation, "/id")]).await;
    let said = shown.stdout.to_lowercase();
    assert!(!said.contains("access revoked") && said.contains("other ways into the account"), "{said}");
}
