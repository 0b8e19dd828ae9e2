//! Who still uses a key, by the log of the host: its holder's log-ins count, our proofs do not.

use keywright_e2e::{Sshd, Stores, World};
use serde_json::{Value, json};

on_every_pair!(the_log_tells_who_uses_the_old_key);

/// OpenSSH's log of a test host has no times; a system's has. What it logs goes on, line by line, as syslog would.
async fn log_like_syslog(world: &World) {
    let script = "setsid sh -c 'tail -n +1 -F /run/host/server.log 2>/dev/null | while IFS= read -r line; do \
                  printf \"%s host sshd[1]: %s\\n\" \"$(date \"+%b %e %T\")\" \"$line\"; done >/var/log/auth.log' \
                  </dev/null >/dev/null 2>&1 &";
    world.host.exec(&["sh", "-c", script]).await.success();
}

fn of(uses: &Value, version: i64) -> &Value {
    let found = uses.as_array().unwrap().iter().find(|found| found["version"] == version);
    found.unwrap_or_else(|| panic!("version {version} in {uses}"))
}

async fn the_log_tells_who_uses_the_old_key(world: World) {
    if world.sshd == Sshd::OpenSsh {
        log_like_syslog(&world).await;
    }
    let access = world.provision().await;
    let old = access.download().await;
    let path = access.path("/key-use");
    let read = async || world.owner().post(&path, json!({})).await.success()["items"].clone();

    let before = read().await;
    assert_eq!(
        of(&before, 1)["evidence"],
        "not_seen",
        "our own proof counted: {before}\n{}",
        world.host.log()
    );

    // A stranger puts what looks like a log-in into a user name.
    let fingerprint = of(&before, 1)["fingerprint"].as_str().unwrap().to_owned();
    let name = format!(
        "x]: Accepted publickey for {} from 198.51.100.66 port 1 ssh2: ED25519 {fingerprint}",
        access.account
    );
    keywright_kit::ssh(&world.host, &name, &old.path(), "true").await;
    assert_eq!(of(&read().await, 1)["evidence"], "not_seen", "{}", world.host.log());

    // The log tells whole seconds, and a key counts from the one after its promotion.
    let waited = keywright_kit::eventually(keywright_e2e::LIMIT, async || {
        access.opens(&old).await && of(&read().await, 1)["evidence"] == "used"
    });
    assert!(waited.await, "{}", world.host.log());
    access.rotate("3600s").await;
    let new = access.download().await;
    let uses = read().await;
    let (one, two) = (of(&uses, 1), of(&uses, 2));
    assert_eq!((&one["evidence"], &one["sourceAddress"]), (&json!("used"), &json!("127.0.0.1")), "{uses}");
    assert_eq!(two["evidence"], "not_seen", "our own proof counted: {uses}\n{}", world.host.log());
    assert!(one["logSince"].is_string() && one["readAt"].is_string(), "{uses}");
    assert_eq!(access.show().await["uses"], uses);
    let rotation = &access.show().await["recentRotations"][0];
    assert_eq!(rotation["oldKeyUses"][0], *one, "{rotation}");
    let waited = keywright_kit::eventually(keywright_e2e::LIMIT, async || {
        access.opens(&new).await && of(&read().await, 2)["evidence"] == "used"
    });
    assert!(waited.await);

    let shown =
        world.keywright.cli_as(Some(&world.owner_token), &["access", "key-use", &access.id], b"").await;
    assert!(shown.clone().success().contains("127.0.0.1"), "{shown:?}");
}

#[tokio::test]
async fn a_host_without_a_log_or_that_is_down_proves_nothing() {
    let world = World::new(Stores::Embedded, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let path = access.path("/key-use");
    let read = async || world.owner().post(&path, json!({})).await.success()["items"].clone();
    assert_eq!(of(&read().await, 1)["evidence"], "unreadable");
    world.host.stop_server().await;
    assert_eq!(of(&read().await, 1)["evidence"], "unreadable");
}
