//! Heartbeats by the command, over a restart; and what is told of a server that goes away.

use keywright_e2e::{LIMIT, Sshd, Stores, World, audit_log, text};
use keywright_kit::eventually;
use serde_json::{Value, json};

use super::fleet::{at, bind, credential};

/// What the command answers.
async fn heartbeat(world: &World, arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["-o", "json", "server", "heartbeat"].iter().chain(arguments).copied().collect();
    let output = world.keywright.cli(&all).await;
    assert_eq!(output.code, 0, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

async fn becomes(world: &World, server: &str, status: &str) -> Value {
    let is = async || heartbeat(world, &["show", server]).await["status"] == status;
    assert!(eventually(LIMIT, is).await, "{}", heartbeat(world, &["show", server]).await);
    heartbeat(world, &["show", server]).await
}

#[tokio::test]
async fn a_servers_change_is_in_the_log_and_a_heartbeat_survives_a_restart() {
    for stores in [Stores::Embedded, Stores::External] {
        let mut world = World::new(stores, Sshd::OpenSsh).await;
        let (credential, _) = credential(&world, &world.host).await;
        let server = at(&world, "web", &world.host, world.host.port(), json!({})).await;
        bind(&world, &server, &credential).await;

        let set = heartbeat(&world, &["set", &server, "--every", "1m"]).await;

        assert_eq!(set["interval"], "60s", "{set}");
        let healthy = becomes(&world, &server, "healthy").await;
        world.keywright.restart().await.unwrap();
        let after = heartbeat(&world, &["show", &server]).await;
        assert_eq!((&after["since"], &after["nextAt"]), (&healthy["since"], &healthy["nextAt"]), "{after}");
        let listed = heartbeat(&world, &["list", "--tenant", &world.tenant, "--status", "healthy"]).await;
        assert_eq!(listed["items"][0]["serverId"], server, "{listed}");

        world.host.write_authorized_keys("deploy", String::new());
        world.keywright.post(&format!("/api/servers/{server}/connectivity-tests"), json!({})).await.success();

        let down = becomes(&world, &server, "unreachable").await;
        assert_eq!(down["failedCheck"], "authentication", "{down}");
        let changes = heartbeat(&world, &["changes", &server]).await;
        assert_eq!(text(&changes, "/items/0/to"), "unreachable", "{changes}");
        let told = async || {
            let log = audit_log::whole(&world.keywright).await;
            log.iter().any(|event| event["action"] == "server.state_change" && event["target"] == server)
        };
        assert!(eventually(LIMIT, told).await);
        heartbeat(&world, &["remove", &server]).await;
        assert!(heartbeat(&world, &["show", &server]).await["interval"].is_null());
    }
}
