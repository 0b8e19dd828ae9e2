//! Connectivity tests with a key in the user's own `ssh-agent`: only a signature leaves it, and only for the login, on the host
//! and for the user that he asked for.

use keywright_e2e::{World, text};
use keywright_kit::{HeldKeys, KeyPair, KeyType, Output, keygen, keygen_commented};
use serde_json::{Value, json};

/// An account of the host that the key opens.
fn admit(world: &World, user: &str, key: &KeyPair) {
    world.host.add_user(user);
    world.host.write_authorized_keys(user, key.public_line());
}

/// `keywright server test --agent …` as the tenant's owner.
async fn test(world: &World, agent: &HeldKeys, arguments: &[&str]) -> Output {
    let socket = agent.socket();
    let environment =
        [("SSH_AUTH_SOCK", socket.to_str().unwrap()), ("KEYWRIGHT_TOKEN", world.owner_token.as_str())];
    let arguments = [&["--output", "json", "server", "test", "--agent"], arguments].concat();
    world.keywright.cli_running(&arguments, &environment).finish().await
}

async fn pinned(world: &World) -> String {
    let keys = world.keywright.get(&format!("/api/servers/{}/host-keys", world.server)).await.success();
    text(&keys, "/items/0/fingerprint")
}

#[tokio::test]
async fn a_server_and_a_draft_are_tested_with_a_key_that_stays_in_the_agent() {
    let world = World::embedded().await;
    let agent = HeldKeys::start().await.unwrap();
    for (user, kind) in [("deploy", KeyType::Ed25519), ("archive", KeyType::Rsa(3072))] {
        let key = keygen(kind, "").await.unwrap();
        admit(&world, user, &key);
        agent.add(&key, &[]).await;
        // Nobody but the agent has it any more.
        let public = key.private_file().with_extension("pub");
        let identity = public.to_str().unwrap();
        std::fs::remove_file(key.private_file()).unwrap();

        let server = test(&world, &agent, &[&world.server, "--identity", identity, "--username", user]).await;
        let server: Value = serde_json::from_str(&server.success()).unwrap();
        assert_eq!((text(&server, "/status"), text(&server, "/username")), ("healthy".into(), user.into()));
        assert_eq!(server["checks"][0]["message"], "The key stays in the caller's agent.");
        let list = format!("/api/servers/{}/connectivity-tests", world.server);
        let kept = world.keywright.get(&list).await.success();
        assert_eq!(kept["items"][0], server);

        let (port, expected) = (world.host.port().to_string(), pinned(&world).await);
        let draft = ["--host", world.host.address(), "--port", &port, "--expect-host-key", &expected];
        let draft = [&draft[..], &["--identity", identity, "--username", user]].concat();
        let draft: Value = serde_json::from_str(&test(&world, &agent, &draft).await.success()).unwrap();
        assert_eq!((text(&draft, "/status"), text(&draft, "/id")), ("healthy".into(), String::new()));
    }
    let log = "/api/audit/events?action=connectivity_test.create&outcome=succeeded";
    let log = world.keywright.wait_for(log, keywright_e2e::LIMIT, |log| log["items"][1].is_object()).await;
    assert_eq!(log["items"][0]["details"]["credential"], "caller's agent", "{log}");
    let signed = "/api/audit/events?action=connectivity_test.sign&outcome=succeeded";
    world.keywright.wait_for(signed, keywright_e2e::LIMIT, |log| log["items"][3].is_object()).await;
    assert!(!world.keywright.logs().contains(agent.socket().to_str().unwrap()));
}

#[tokio::test]
async fn a_key_with_destination_constraints_signs_where_it_may_and_nowhere_else() {
    let world = World::embedded().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    admit(&world, "deploy", &key);
    admit(&world, "metrics", &key);
    let folder = tempfile::tempdir().unwrap();
    let known = folder.path().join("known_hosts");
    let lines: Vec<String> = world.host.host_keys().iter().map(|line| format!("web {line}\n")).collect();
    std::fs::write(&known, lines.concat()).unwrap();
    let agent = HeldKeys::start().await.unwrap();
    agent.add(&key, &["-H", known.to_str().unwrap(), "-h", "deploy@web"]).await;

    let allowed = test(&world, &agent, &[&world.server, "--username", "deploy"]).await;
    assert!(allowed.success().contains(r#""status":"healthy""#));

    let other_user = test(&world, &agent, &[&world.server, "--username", "metrics"]).await;
    assert_eq!(other_user.code, 6, "{other_user:?}");
    assert!(other_user.stderr.contains("did not sign"), "{other_user:?}");
    let failed = "/api/audit/events?action=connectivity_test.create&outcome=failed";
    let failed =
        world.keywright.wait_for(failed, keywright_e2e::LIMIT, |log| log["items"][0].is_object()).await;
    assert_eq!(failed["items"][0]["reason"], "SIGNATURE_NOT_SUPPLIED", "{failed}");

    let elsewhere = HeldKeys::start().await.unwrap();
    std::fs::write(&known, format!("other {}\n", key.public_line())).unwrap();
    elsewhere.add(&key, &["-H", known.to_str().unwrap(), "-h", "deploy@other"]).await;
    let refused = test(&world, &elsewhere, &[&world.server, "--username", "deploy"]).await;
    assert_eq!(refused.code, 6, "{refused:?}");
}

#[tokio::test]
async fn a_host_that_is_not_the_expected_one_gets_no_signature() {
    let world = World::embedded().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    admit(&world, "deploy", &key);
    let agent = HeldKeys::start().await.unwrap();
    agent.add(&key, &[]).await;
    let other = keygen(KeyType::Ed25519, "").await.unwrap().fingerprint().await;

    // Keywright believes the host; the user does not.
    let arguments = [&world.server, "--username", "deploy", "--expect-host-key", &other];
    let refused = test(&world, &agent, &arguments).await;

    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("none of those that you expect"), "{refused:?}");
    let signed = "/api/audit/events?action=connectivity_test.sign";
    let signed =
        world.keywright.wait_for(signed, keywright_e2e::LIMIT, |log| log["items"][0].is_object()).await;
    assert_eq!(signed["items"][0]["details"]["answer"], "UNEXPECTED", "{signed}");
    assert!(!world.host.log().contains("Accepted publickey for deploy"), "{}", world.host.log());
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_remedy() {
    let world = World::embedded().await;
    let token = [("KEYWRIGHT_TOKEN", world.owner_token.as_str()), ("SSH_AUTH_SOCK", "")];
    let arguments = ["server", "test", &world.server, "--agent", "--username", "deploy"];
    let none = world.keywright.cli_running(&arguments, &token).finish().await;
    assert!(none.code == 2 && none.stderr.contains("ssh-add"), "{none:?}");

    let agent = HeldKeys::start().await.unwrap();
    let empty = test(&world, &agent, &[&world.server, "--username", "deploy"]).await;
    assert!(empty.code == 2 && empty.stderr.contains("holds no key"), "{empty:?}");
    let (one, two) = (
        keygen_commented(KeyType::Ed25519, "", "laptop").await.unwrap(),
        keygen_commented(KeyType::Ed25519, "", "work").await.unwrap(),
    );
    admit(&world, "deploy", &two);
    agent.add(&one, &[]).await;
    agent.add(&two, &[]).await;
    let several = test(&world, &agent, &[&world.server, "--username", "deploy"]).await;
    assert_eq!(several.code, 2, "{several:?}");
    for told in ["--identity", "laptop", "work", &one.fingerprint().await, &two.fingerprint().await] {
        assert!(several.stderr.contains(told), "{told}: {several:?}");
    }
    let named = test(&world, &agent, &[&world.server, "--username", "deploy", "--identity", "work"]).await;
    assert!(named.success().contains(r#""status":"healthy""#));

    let path = format!("/api/servers/{}/connectivity-tests/run", world.server);
    let body = json!({"key": {"publicKey": "sk-ssh-ed25519@openssh.com AAAA", "username": "deploy"}});
    let unsupported = world.owner().post(&path, body).await;
    assert_eq!((unsupported.status, unsupported.reason()), (400, "KEY_UNSUPPORTED"), "{}", unsupported.json);
}
