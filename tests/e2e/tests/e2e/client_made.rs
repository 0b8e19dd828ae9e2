//! Keys that their holder makes: a nonce, OpenSSH's signature over it, and everything that is no proof or no key.

use std::path::Path;

use keywright_e2e::authorized_keys::lines_of;
use keywright_e2e::elapsed::{HOUR, older_challenges};
use keywright_e2e::possession::{challenge, challenges, proven, sign};
use keywright_e2e::world::{create_tenant, files_below, manage, owner, register};
use keywright_e2e::{Access, KeyFile, World, text};
use keywright_kit::{Answer, KeyPair, KeyType, keygen};
use serde_json::{Value, json};
use tokio::process::Command;

async fn keygen_ok(arguments: &[&str], files: &[&Path]) {
    let output = Command::new("ssh-keygen").args(arguments).args(files).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn provision(world: &World, account: &str, rest: Value) -> Answer {
    if world.host.account(account).is_none() {
        world.host.add_user(account);
    }
    let mut body = json!({"serverIds": [world.server], "account": account});
    body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    world.keywright.post(&format!("/api/tenants/{}/ssh-access", world.tenant), body).await
}

fn file_of(key: &KeyPair) -> KeyFile {
    KeyFile::new(key.private_text().as_bytes())
}

async fn ed25519() -> KeyPair {
    keygen(KeyType::Ed25519, "").await.unwrap()
}

#[tokio::test]
async fn a_key_that_never_was_here_is_provisioned_rotated_and_regenerated_by_the_command() {
    let world = World::embedded().await;
    world.host.add_user("deploy");
    let keys = [
        ed25519().await,
        keygen(KeyType::EcdsaP256, "").await.unwrap(),
        keygen(KeyType::Rsa(3072), "").await.unwrap(),
    ];
    let files = keys.each_ref().map(|key| {
        let private = key.private_file();
        (private.with_extension("pub").to_string_lossy().into_owned(), private.to_string_lossy().into_owned())
    });
    let with = async |verb: &[&str], number: usize, rest: &[&str]| {
        let (public, private) = &files[number];
        let key = ["--public-key-file", public, "--sign-with", private, "-o", "json"];
        let all = [&["access"], verb, &key[..], rest].concat();
        let token =
            if verb[0] == "provision" { world.keywright.operator_token() } else { world.owner_token.clone() };
        let said = world.keywright.cli_as(Some(&token), &all, b"").await.success();
        serde_json::from_str::<Value>(&said).unwrap()
    };

    let provisioned = with(
        &["provision", "--tenant", &world.tenant, "--server", &world.server, "--account", "deploy"],
        0,
        &[],
    )
    .await;
    let access = Access::new(&world, &provisioned);
    let confirm = ["--confirm", access.id.as_str()];
    let rotated = with(&["rotate", &access.id, "--grace", "1h"], 1, &confirm).await;

    assert_eq!((&rotated["state"], &rotated["newVersion"]), (&json!("succeeded"), &json!(2)));
    let shown = access.show().await;
    assert_eq!((&shown["clientMade"], &shown["algorithm"]), (&json!(true), &json!("ecdsa-sha2-nistp256")));
    assert_eq!(shown["fingerprint"], json!(keys[1].fingerprint().await));
    assert!(access.opens(&file_of(&keys[0])).await, "in its grace");
    assert!(access.opens(&file_of(&keys[1])).await);
    let refused = access.try_download().await;
    assert_eq!((refused.status, refused.reason()), (409, "KEY_ALREADY_DOWNLOADED"), "{}", refused.json);
    assert_eq!(refused.error_info()["metadata"]["clientMade"], "true");
    access.revoke(json!({})).await;
    let regenerated = with(&["regenerate", &access.id], 2, &confirm).await;
    assert_eq!((&regenerated["state"], &regenerated["newVersion"]), (&json!("succeeded"), &json!(3)));
    let [first, second, third] = keys.each_ref().map(|key| async { access.opens(&file_of(key)).await });
    assert_eq!(tokio::join!(first, second, third), (false, false, true));
    // Nothing of a private half went over.
    let lines: Vec<String> = keys.iter().map(secret_line).collect();
    for file in files_below(&world.keywright.data_dir()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            lines.iter().all(|line| memchr::memmem::find(&bytes, line.as_bytes()).is_none()),
            "{}",
            file.display()
        );
    }
}

/// The last long line of the file that does not stand in the public key too: it holds some of the private half.
fn secret_line(key: &KeyPair) -> String {
    let (pem, public) = (key.private_text(), key.public_line());
    pem.lines().rfind(|line| line.len() >= 40 && !public.contains(line)).unwrap().to_owned()
}

#[tokio::test]
async fn what_proves_nothing_begins_nothing() {
    let world = World::embedded().await;
    let (key, other) = (ed25519().await, ed25519().await);
    let foreign = create_tenant(&world.keywright, "Other").await;
    let (_, foreign_token) = owner(&world.keywright, &foreign).await;
    let refused = async |body: Value| {
        let answer = provision(&world, "deploy", body).await;
        (answer.status, answer.reason().to_owned())
    };
    let (id, nonce) = challenge(&world, &world.tenant).await;
    let by = async |key: &KeyPair, namespace: &str, text: &str| {
        let signature = sign(key, namespace, text).await;
        json!({"publicKey": key.public_line(), "challengeId": id, "signature": signature})
    };

    let mut by_another = by(&other, "keywright-possession", &nonce).await;
    by_another["publicKey"] = json!(key.public_line());
    for unproven in [
        by_another,
        by(&key, "file", &nonce).await,
        by(&key, "keywright-possession", "another nonce").await,
        json!({"publicKey": key.public_line(), "challengeId": id, "signature": "no signature"}),
        json!({"publicKey": key.public_line(), "challengeId": id}),
    ] {
        assert_eq!(refused(unproven).await, (400, "POSSESSION_UNPROVEN".to_owned()));
    }
    let stranger = world.keywright.caller(&foreign_token);
    let theirs = stranger.post(&challenges(&foreign), json!({})).await.success();
    let signature = sign(&key, "keywright-possession", &text(&theirs, "/nonce")).await;
    let theirs = json!({"publicKey": key.public_line(), "challengeId": theirs["id"], "signature": signature});
    assert_eq!(refused(theirs).await.1, "CHALLENGE_NOT_FOUND", "another tenant's challenge");
    let hidden = stranger.post(&challenges(&world.tenant), json!({})).await;
    assert_eq!((hidden.status, hidden.reason()), (404, "TENANT_NOT_FOUND"));

    // What was refused did not use it up; what succeeded did.
    let good = by(&key, "keywright-possession", &nonce).await;
    let started = provision(&world, "deploy", good.clone()).await.success();
    let access = Access::new(&world, &started);
    access.finished(&text(&started, "/recentRotations/0/id")).await;
    let mut replayed = good.clone();
    replayed["gracePeriod"] = json!("0s");
    let replay = access.try_rotate(replayed).await;
    assert_eq!((replay.status, replay.reason()), (404, "CHALLENGE_NOT_FOUND"), "{}", replay.json);
    let late = proven(&world, &world.tenant, &other).await;
    older_challenges(&world, HOUR / 4).await;
    let late = access.try_rotate(late).await;
    assert_eq!((late.status, late.reason()), (404, "CHALLENGE_NOT_FOUND"), "{}", late.json);
    let shown = access.show().await;
    assert_eq!((&shown["version"], shown["recentRotations"].as_array().unwrap().len()), (&json!(1), 1));
    assert!(access.opens(&file_of(&key)).await);
}

#[tokio::test]
async fn what_is_no_key_of_its_own_for_this_access_is_refused() {
    let world = World::embedded().await;
    let (mine, weak) = (ed25519().await, keygen(KeyType::Rsa(1024), "").await.unwrap());
    let access = world.provision().await;
    let generated = text(&access.show().await, "/publicKey");
    let refused = async |access: &Access<'_>, body: Value| {
        let answer = access.try_rotate(body).await;
        assert!(answer.status >= 400, "{}", answer.json);
        answer.reason().to_owned()
    };
    let tenant = world.tenant.as_str();
    let (id, nonce) = challenge(&world, tenant).await;
    let signature = sign(&mine, "keywright-possession", &nonce).await;
    let as_it_stands = |public: &str| json!({"publicKey": public, "challengeId": id, "signature": signature});

    let authority = ed25519().await;
    keygen_ok(
        &["-q", "-I", "mine", "-s"],
        &[&authority.private_file(), &mine.private_file().with_extension("pub")],
    )
    .await;
    let certificate = std::fs::read_to_string(mine.private_file().with_file_name("key-cert.pub")).unwrap();
    for (public, reason) in [
        (weak.public_line().as_str(), "KEY_TOO_WEAK"),
        (certificate.trim(), "CERTIFICATE_GIVEN"),
        ("ssh-ed25519 AAAA", "KEY_UNPARSABLE"),
        ("", "VALIDATION_FAILED"),
    ] {
        assert_eq!(refused(&access, as_it_stands(public)).await, reason, "{public}");
    }
    let private = refused(&access, as_it_stands(&mine.private_text())).await;
    assert!(private.starts_with("KEY_"), "a private key: {private}");
    assert!(!world.keywright.logs().contains(&secret_line(&mine)));

    // One key, one access: neither another's, of whichever tenant, nor one that Keywright made.
    let started = provision(&world, "deploy", proven(&world, tenant, &mine).await).await.success();
    let holder = Access::new(&world, &started);
    holder.finished(&text(&started, "/recentRotations/0/id")).await;
    assert_eq!(refused(&access, proven(&world, tenant, &mine).await).await, "ALREADY_EXISTS");
    let other = create_tenant(&world.keywright, "Other").await;
    let server = register(&world.keywright, &other, &world.host, "web-1").await;
    manage(&world.keywright, &server, &world.bootstrap).await;
    world.host.add_user("stranger");
    let mut body = proven(&world, &other, &mine).await;
    body["serverIds"] = json!([server]);
    body["account"] = json!("stranger");
    let answer = world.keywright.post(&format!("/api/tenants/{other}/ssh-access"), body).await;
    assert_eq!((answer.status, answer.reason()), (409, "ALREADY_EXISTS"), "{}", answer.json);
    assert_eq!(access.show().await["publicKey"], json!(generated), "the access was touched");

    holder.revoke(json!({"compromised": true})).await;
    assert_eq!(refused(&access, proven(&world, tenant, &mine).await).await, "KEY_COMPROMISED");
    let mut body = proven(&world, tenant, &mine).await;
    body["confirmation"] = json!({"accessId": holder.id});
    let answer = world.owner().post(&holder.path("/regenerate"), body).await;
    assert_eq!((answer.status, answer.reason()), (409, "KEY_COMPROMISED"), "{}", answer.json);
    assert_eq!(lines_of(&world.host, "deploy", &mine.public_line()), Vec::<String>::new());
    assert_eq!(access.show().await["version"], 1);
}
