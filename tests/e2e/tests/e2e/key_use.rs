//! Who still uses a key, by the log of the host: its holder's log-ins count, our proofs do not.

use keywright_e2e::world::{manage, register, start_host};
use keywright_e2e::{LIMIT, Sshd, Stores, World};
use keywright_kit::{KeyType, eventually, keygen, ssh};
use serde_json::{Value, json};

use super::reach::{jump_host, set_jump_host};

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
    ssh(&world.host, &name, &old.path(), "true").await;
    assert_eq!(of(&read().await, 1)["evidence"], "not_seen", "{}", world.host.log());

    // The log tells whole seconds, and a key counts from the one after its promotion.
    let waited =
        eventually(LIMIT, async || access.opens(&old).await && of(&read().await, 1)["evidence"] == "used");
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
    let waited =
        eventually(LIMIT, async || access.opens(&new).await && of(&read().await, 2)["evidence"] == "used");
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

/// A server that is added later is proven with a key that others may have by then; only the jump host knows from which port.
#[tokio::test]
async fn behind_a_jump_host_our_own_proof_is_no_use_and_the_holders_log_in_is_one() {
    let world = World::new(Stores::Embedded, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let key = access.download().await;
    let (_jump, jump_id) = jump_host(&world, "jump", Sshd::OpenSsh).await;
    let hidden = start_host(Sshd::Dropbear).await;
    let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
    hidden.write_authorized_keys("root", format!("{}\n", bootstrap.public_line()));
    let server = register(&world.keywright, &world.tenant, &hidden, "hidden").await;
    set_jump_host(&world, &server, &jump_id).await;
    manage(&world.keywright, &server, &bootstrap).await;
    let mut add = vec!["access", "add-host", &access.id, "--tenant", &world.tenant];
    add.extend(["--server", &server, "--create-account"]);
    world.keywright.cli(&add).await.success();
    let path = access.path("/key-use");
    let read = async || {
        let uses = world.owner().post(&path, json!({})).await.success();
        let found = uses["items"].as_array().unwrap().iter().find(|it| it["serverId"] == server.as_str());
        found.unwrap_or_else(|| panic!("{uses}"))["evidence"].clone()
    };
    let log = hidden.log();
    assert!(log.contains(&format!("Pubkey auth succeeded for '{}'", access.account)), "it was proven: {log}");

    assert_eq!(read().await, "not_seen", "our own proof counted: {log}");

    let used = eventually(LIMIT, async || {
        ssh(&hidden, &access.account, &key.path(), "true").await;
        read().await == "used"
    });
    assert!(used.await, "{}", hidden.log());
}
