//! Connectivity tests: nine checks in order, and a failed test that is a result.

use keywright_e2e::{Sshd, Stores, World, text};
use keywright_kit::{KeyType, keygen};
use serde_json::{Value, json};

const CHECKS: [&str; 9] =
    ["key", "passphrase", "dns", "tcp", "handshake", "host-key", "authentication", "session", "runtime"];

async fn draft(world: &World, key: &str, fingerprints: Value) -> Value {
    let body = json!({
        "host": world.host.address(), "port": world.host.port(), "expectedHostKeys": fingerprints,
        "oneTime": {"privateKey": key, "username": "root"},
    });
    let test = world.keywright.post("/api/servers/connectivity-tests", body).await.success();
    let names: Vec<String> =
        test["checks"].as_array().unwrap().iter().map(|check| text(check, "/name")).collect();
    assert_eq!(names, CHECKS);
    test
}

fn first_failure(test: &Value) -> String {
    let checks = test["checks"].as_array().unwrap();
    let failed = checks.iter().find(|check| check["status"] == "failed");
    failed.map(|check| format!("{}: {}", text(check, "/name"), text(check, "/code"))).unwrap_or_default()
}

#[tokio::test]
async fn a_draft_says_what_is_wrong_and_stores_nothing() {
    for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
        let world = World::new(Stores::Embedded, sshd).await;
        let pinned = world.keywright.get(&format!("/api/servers/{}/host-keys", world.server)).await.success();
        let pinned: Vec<&Value> =
            pinned["items"].as_array().unwrap().iter().map(|key| &key["fingerprint"]).collect();
        let stranger = keygen(KeyType::Ed25519, "").await.unwrap();
        let mine = world.bootstrap.private_text();

        let healthy = draft(&world, &mine, json!(pinned)).await;
        assert_eq!(
            (text(&healthy, "/status"), text(&healthy, "/id")),
            ("healthy".into(), String::new()),
            "{healthy}"
        );
        let unknown = draft(&world, &mine, json!([])).await;
        assert_eq!(
            (text(&unknown, "/status"), first_failure(&unknown)),
            ("unreachable".into(), "host-key: HOST_KEY_UNKNOWN".into())
        );
        let mismatch = draft(&world, &mine, json!([stranger.fingerprint().await])).await;
        assert_eq!(first_failure(&mismatch), "host-key: HOST_KEY_MISMATCH");
        let rejected = draft(&world, &stranger.private_text(), json!(pinned)).await;
        assert_eq!(first_failure(&rejected), "authentication: AUTHENTICATION_REJECTED");
        let unparsable = draft(&world, "nonsense", json!(pinned)).await;
        assert_eq!(first_failure(&unparsable), "key: KEY_UNPARSABLE");
        let stored =
            world.keywright.get(&format!("/api/servers/{}/connectivity-tests", world.server)).await.success();
        assert_eq!(stored["items"], json!([]));
    }
}

#[tokio::test]
async fn a_changed_host_key_fails_closed_until_the_operator_pins_it() {
    let mut world = World::embedded().await;
    world.host.replace_host_keys().await;
    let server = &world.server;
    let access = json!({"serverIds": [server], "createAccount": true});
    let started = world.keywright.post(&format!("/api/tenants/{}/ssh-access", world.tenant), access).await;

    // Whether it is refused at once or fails as a rotation, nothing logged in.
    if started.status == 200 {
        let path = format!("/api/rotations/{}", text(&started.json, "/recentRotations/0/id"));
        let ended =
            world.keywright.wait_for(&path, keywright_e2e::LIMIT, keywright_e2e::access::has_ended).await;
        assert_eq!(
            (text(&ended, "/state"), text(&ended, "/reason")),
            ("failed".into(), "HOST_KEY_MISMATCH".into()),
            "{ended}"
        );
    } else {
        assert_eq!(started.reason(), "HOST_KEY_MISMATCH", "{}", started.json);
    }
    let scan =
        world.keywright.post(&format!("/api/servers/{server}/host-keys/scan"), json!({})).await.success();
    let new: Vec<&Value> = scan["items"].as_array().unwrap().iter().map(|key| &key["fingerprint"]).collect();
    let repin = json!({"action": "repin", "fingerprints": new});
    let path = format!("/api/servers/{server}/host-keys");
    assert_eq!(world.owner().post(&path, repin.clone()).await.reason(), "PERMISSION_DENIED");
    world.keywright.post(&path, repin).await.success();
    let test = json!({"oneTime": {"privateKey": world.bootstrap.private_text(), "username": "root"}});
    let test =
        world.keywright.post(&format!("/api/servers/{server}/connectivity-tests"), test).await.success();
    assert_eq!(test["status"], "healthy", "{test}");
}
