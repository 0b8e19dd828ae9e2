//! What is said of keys: by the platform, a tenant, an access; shown with its origin, and in force on downloads, on the
//! lines of real hosts, on the kind of new keys and on who makes them. By the shipped command.

use std::net::Ipv4Addr;

use keywright_e2e::authorized_keys::lines_of;
use keywright_e2e::world::{create_tenant, manage, owner, register, start_host};
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World, text};
use keywright_kit::{Answer, KeyType, KeywrightOptions, keygen, ssh};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

/// `keywright policy …` of the operator, as JSON.
async fn policy(world: &World, arguments: &[&str]) -> Value {
    let all = [&["-o", "json", "policy"], arguments].concat();
    serde_json::from_str(&world.keywright.cli(&all).await.success()).unwrap()
}

async fn set(world: &World, access: &Access<'_>, settings: &[&str]) -> Value {
    let of_access = ["set", "--tenant", &world.tenant, "--access", &access.id];
    policy(world, &[&of_access[..], settings].concat()).await
}

async fn download(world: &World, access: &Access<'_>, passphrase: &str) -> Answer {
    let body = json!({"confirmation": {"accessId": access.id}, "passphrase": passphrase});
    world.owner().post(&access.path("/download"), body).await
}

async fn acknowledge(world: &World, access: &Access<'_>, answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.json);
    let claim = answer.headers["keywright-claim-id"].to_str().unwrap();
    let path = access.path(&format!("/download/{claim}/acknowledge"));
    world.owner().post(&path, json!({})).await.success();
}

#[tokio::test]
async fn the_nearest_level_holds_and_each_setting_shows_where_it_comes_from() {
    let world = World::embedded().await;
    let access = world.provision().await;
    policy(&world, &["set", "--platform", "maximum-age=60d", "grace-period=2d", "line-options=restrict,pty"])
        .await;
    policy(
        &world,
        &["set", "--tenant", &world.tenant, "grace-period=3d", "rotation-window=sat,sun 02:30 4h"],
    )
    .await;
    let said = set(&world, &access, &["passphrase-required=on", "grace-period=0h"]).await;

    assert_eq!(said["own"], json!({"passphraseRequired": true, "gracePeriod": "0s"}));
    let effective = &said["effective"];
    assert_eq!((&effective["maximumAge"], &effective["gracePeriod"]), (&json!("5184000s"), &json!("0s")));
    let origins = &said["origins"];
    for (name, origin) in [
        ("maximumAge", "platform"),
        ("lineOptions", "platform"),
        ("rotationWindow", "tenant"),
        ("gracePeriod", "access"),
        ("passphraseRequired", "access"),
        ("keyAlgorithm", "default"),
    ] {
        assert_eq!(origins[name], origin, "{name}: {origins}");
    }
    // The owner reads the same as a table.
    let show = ["policy", "show", "--access", &access.id];
    let table = world.keywright.cli_as(Some(&world.owner_token), &show, b"").await.success();
    for (setting, value, origin) in [
        ("maximum-age", "60d", "platform"),
        ("line-options", "restrict,pty", "platform"),
        ("rotation-window", "sat,sun 02:30 4h", "tenant"),
        ("passphrase-required", "on", "access"),
        ("downloads-per-version", "1", "default"),
    ] {
        let line = table.lines().find(|line| line.starts_with(setting)).unwrap_or_else(|| panic!("{table}"));
        assert!(line.contains(value) && line.trim_end().ends_with(origin), "{line}");
    }
    // What is taken back is inherited again.
    let unset = ["unset", "--tenant", &world.tenant, "--access", &access.id, "grace-period"];
    let left = policy(&world, &unset).await;
    assert_eq!(
        (&left["origins"]["gracePeriod"], &left["effective"]["gracePeriod"]),
        (&json!("tenant"), &json!("259200s"))
    );
    assert_eq!(left["own"], json!({"passphraseRequired": true}));
}

#[tokio::test]
async fn a_tenants_people_loosen_nothing_and_mistakes_are_named_together() {
    let world = World::embedded().await;
    let access = world.provision().await;
    policy(&world, &["set", "--platform", "passphrase-required=on", "downloads-per-version=1"]).await;
    let other = create_tenant(&world.keywright, "Other").await;
    let (_, stranger) = owner(&world.keywright, &other).await;
    let of_tenant = format!("/api/policies/tenants/{}", world.tenant);
    let of_access = format!("{of_tenant}/ssh-access/{}", access.id);
    let put = async |token: &str, path: &str, body: Value| {
        let answer = world.keywright.caller(token).send(Method::PUT, path, Some(body), &[]).await;
        (answer.status, answer.reason().to_owned(), answer.json)
    };
    let looser = json!({"policy": {"passphraseRequired": false, "downloadsPerVersion": 10}});

    for path in ["/api/policies/platform", &of_tenant, &of_access] {
        let (status, reason, _) = put(&world.owner_token, path, looser.clone()).await;
        assert_eq!((status, reason.as_str()), (403, "PERMISSION_DENIED"), "{path}");
    }
    for (path, missing) in [(&of_tenant, "TENANT_NOT_FOUND"), (&of_access, "ACCESS_NOT_FOUND")] {
        let (status, reason, _) = put(&stranger, path, looser.clone()).await;
        assert!(
            (status, reason.as_str()) == (404, missing)
                || (status, reason.as_str()) == (403, "PERMISSION_DENIED"),
            "{path}: {status} {reason}"
        );
        let read = world.keywright.caller(&stranger).get(path).await;
        assert_eq!((read.status, read.reason()), (404, missing), "{path}");
    }
    let crossed = format!("/api/policies/tenants/{other}/ssh-access/{}", access.id);
    let operator = world.keywright.operator_token();
    assert_eq!(put(&operator, &crossed, looser).await.1, "ACCESS_NOT_FOUND");
    assert_eq!(download(&world, &access, "").await.reason(), "PASSPHRASE_REQUIRED");

    let wrong = json!({"policy": {
        "maximumAge": "1s", "gracePeriod": "691200s", "keyAlgorithm": "ssh-dss", "downloadsPerVersion": 11,
        "rotationWindow": {"start": "25:00", "length": "60s"}, "lineOptions": {"options": ["restrict", "from=\"10.1\""]}}});
    let (status, reason, json) = put(&operator, &of_tenant, wrong).await;
    assert_eq!((status, reason.as_str()), (400, "VALIDATION_FAILED"));
    let said = json.to_string();
    for field in [
        "policy.maximumAge",
        "policy.gracePeriod",
        "policy.keyAlgorithm",
        "policy.downloadsPerVersion",
        "policy.rotationWindow.start",
        "policy.rotationWindow.length",
        "policy.lineOptions.options[1]",
    ] {
        assert!(said.contains(&format!("\"{field}\"")), "{field} in {said}");
    }
    let stale = json!({"policy": {"gracePeriod": "3600s"}, "revision": "7"});
    let (status, reason, _) = put(&operator, &of_tenant, stale).await;
    assert_eq!((status, reason.as_str()), (409, "REVISION_MISMATCH"));
    let shown = policy(&world, &["show", "--tenant", &world.tenant]).await;
    assert_eq!((&shown["own"], &shown["revision"]), (&json!({}), &json!("0")), "{shown}");
}

#[tokio::test]
async fn a_download_is_encrypted_counted_and_forgotten_as_the_policy_says() {
    let world = World::embedded().await;
    let access = world.provision().await;
    set(&world, &access, &["passphrase-required=on", "downloads-per-version=2", "forget-after-download=on"])
        .await;

    let plain = download(&world, &access, "").await;
    assert_eq!((plain.status, plain.reason()), (400, "PASSPHRASE_REQUIRED"), "{}", plain.json);
    assert_eq!(access.show().await["download"], "available", "a refused download was counted");
    let mut keys = Vec::new();
    for _ in 0..2 {
        let answer = download(&world, &access, "correct horse").await;
        acknowledge(&world, &access, &answer).await;
        keys.push(KeyFile::new(&answer.bytes));
    }
    let third = download(&world, &access, "correct horse").await;
    assert_eq!((third.status, third.reason()), (409, "KEY_ALREADY_DOWNLOADED"));
    for key in &keys {
        let read = async |passphrase: &str| {
            let mut keygen = Command::new("ssh-keygen");
            keygen
                .args(["-y", "-P", passphrase, "-f"])
                .arg(key.path())
                .output()
                .await
                .unwrap()
                .status
                .success()
        };
        assert!(!read("").await && read("correct horse").await);
    }
    // Forgotten: the server cannot sign with it any more, its holder can.
    let signing = async || world.owner().get("/api/signing-keys").await.success().to_string();
    let forgotten = keywright_kit::eventually(LIMIT, async || !signing().await.contains(&access.id)).await;
    assert!(forgotten, "{}", signing().await);
    let key = &keys[0];
    let mut bare = Command::new("ssh-keygen");
    let bared = bare
        .args(["-q", "-p", "-P", "correct horse", "-N", "", "-f"])
        .arg(key.path())
        .output()
        .await
        .unwrap();
    assert!(bared.status.success());
    assert!(access.opens(key).await);
    access.rotate("3600s").await;
    assert_eq!(access.show().await["download"], "available");
    assert!(signing().await.contains(&access.id), "the new key is not forgotten yet");

    set(&world, &access, &["downloads-per-version=0"]).await;
    let none = download(&world, &access, "correct horse").await;
    assert_eq!((none.status, none.reason()), (409, "POLICY_FORBIDS"), "{}", none.json);
}

#[tokio::test]
async fn new_lines_have_the_policys_options_and_a_from_lets_keywright_in() {
    let options = KeywrightOptions::default().arg("--egress-address").arg(Ipv4Addr::LOCALHOST.to_string());
    let world = World::with(options, None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let of_tenant = ["policy", "set", "--tenant", &world.tenant];

    let without_us = [&of_tenant[..], &["line-options=restrict,from=\"192.0.2.0/24\""]].concat();
    let refused = world.keywright.cli(&without_us).await;
    assert!(!refused.ok(), "{refused:?}");
    for part in ["VALIDATION_FAILED", "policy.lineOptions.options[1]", "127.0.0.1"] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
    let with_us = "line-options=restrict,pty,from=\"192.0.2.0/24,127.0.0.0/8\",environment=\"LANG=C\"";
    world.keywright.cli(&[&of_tenant[..], &[with_us]].concat()).await.success();
    access.rotate("3600s").await;

    let shown = access.show().await;
    let lines = lines_of(&world.host, &access.account, &text(&shown, "/publicKey"));
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(
        line.starts_with(
            "restrict,pty,from=\"192.0.2.0/24,127.0.0.0/8\",environment=\"LANG=C\" ssh-ed25519 "
        ),
        "{line}"
    );
    assert!(access.opens(&access.download().await).await);
}

#[tokio::test]
async fn where_nobody_said_from_where_keywright_comes_the_edit_of_the_host_finds_out() {
    let world = World::new(Stores::Embedded, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let key = access.download().await;
    set(&world, &access, &["line-options=from=\"192.0.2.0/24\""]).await;

    let rotation = access.start_rotation(json!({})).await;

    let path = format!("/api/rotations/{rotation}");
    let ended = world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "failed").await;
    assert_eq!(ended["reason"], "POLICY_FORBIDS", "{ended}");
    assert!(access.opens(&key).await);
    assert_eq!(access.show().await["version"], 1);
}

#[tokio::test]
async fn the_policy_says_of_which_kind_a_key_is_who_makes_it_and_whether_a_dead_host_is_waited_for() {
    let (world, second) = tokio::join!(World::embedded(), start_host(Sshd::OpenSsh));
    second.write_authorized_keys("root", format!("{}\n", world.bootstrap.public_line()));
    let server = register(&world.keywright, &world.tenant, &second, "web-2").await;
    manage(&world.keywright, &server, &world.bootstrap).await;
    let provision = async |rest: &[&str]| {
        let both = ["--server", &world.server, "--server", &server, "--create-account", "-o", "json"];
        let all = [&["access", "provision", "--tenant", &world.tenant], &both[..], rest].concat();
        let said = world.keywright.cli(&all).await.success();
        Access::new(&world, &serde_json::from_str(&said).unwrap())
    };
    let plain = provision(&["--account", "plain"]).await;
    let own = provision(&["--account", "own", "--key-algorithm", "ecdsa-sha2-nistp384"]).await;
    policy(
        &world,
        &[
            "set",
            "--tenant",
            &world.tenant,
            "key-algorithm=ecdsa-sha2-nistp256",
            "promote-with-outstanding=on",
        ],
    )
    .await;
    second.stop_server().await;

    for (access, algorithm) in [(&plain, "ecdsa-sha2-nistp256"), (&own, "ecdsa-sha2-nistp384")] {
        let rotation =
            format!("/api/rotations/{}", access.start_rotation(json!({"gracePeriod": "3600s"})).await);
        let promoted = world.keywright.wait_for(&rotation, LIMIT, |it| it["state"] == "converging").await;
        assert_eq!(promoted["outstandingServerIds"], json!([server]), "{promoted}");
        let shown = access.show().await;
        assert_eq!((&shown["version"], &shown["algorithm"]), (&json!(2), &json!(algorithm)), "{shown}");
        assert!(text(&shown, "/publicKey").starts_with(algorithm));
    }
    let key = plain.download().await;
    second.start_server().await;
    world.keywright.wait_for(&plain.path(""), LIMIT, |it| it["activity"] == "grace").await;
    assert!(ssh(&second, "plain", &key.path(), "true").await.ok(), "the host was not caught up with");
    let origin = policy(&world, &["show", "--tenant", &world.tenant, "--access", &own.id]).await;
    assert_eq!(origin["origins"]["keyAlgorithm"], "access", "{origin}");

    // A key of a kind that only its holder can make now.
    world.keywright.wait_for(&own.path(""), LIMIT, |it| it["activity"] == "grace").await;
    set(&world, &own, &["client-made-required=on"]).await;
    let refused = own.try_rotate(json!({"dropGraceKey": true})).await;
    assert_eq!((refused.status, refused.reason()), (409, "POLICY_FORBIDS"), "{}", refused.json);
    let made = keygen(KeyType::Ed25519, "").await.unwrap();
    let (private, public) = (made.private_file(), made.private_file().with_extension("pub"));
    let (private, public) = (private.to_string_lossy(), public.to_string_lossy());
    let rotate = ["access", "rotate", &own.id, "--confirm", &own.id, "--drop-grace-key"];
    let with_own = [&rotate[..], &["--public-key-file", &public, "--sign-with", &private]].concat();
    world.keywright.cli_as(Some(&world.owner_token), &with_own, b"").await.success();
    assert!(own.opens(&KeyFile::new(made.private_text().as_bytes())).await);
}
