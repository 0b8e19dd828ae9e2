//! Revocation lists: what the gateway gives, OpenSSH's own tools read and sshd obeys.

use keywright_e2e::world::{create_tenant, manage, options, owner, register};
use keywright_e2e::{LIMIT, Sshd, Stores, World, text};
use keywright_kit::{Answer, Caller, HostOptions, KeyType, TestHost, eventually, keygen, ssh};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use tokio::process::Command;

const FILE: &str = "/run/host/revoked_keys";
/// Where nothing else is said when a server is registered.
const GROUP: &str = "default";

async fn get(caller: &Caller, path: &str, known: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> = known.iter().map(|known| ("if-none-match", *known)).collect();
    caller.send(Method::GET, path, None, &headers).await
}

/// What `ssh-keygen -Q` says: whether the list in this file names the key.
async fn names(list: &Path, public_key: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pub");
    std::fs::write(&key, format!("{public_key}\n")).unwrap();
    let said = Command::new("ssh-keygen").arg("-Q").arg("-f").arg(list).arg(&key).output().await.unwrap();
    match said.status.code() {
        Some(0) => false,
        Some(1) => true,
        _ => panic!("{said:?}"),
    }
}

async fn token(issuer: &Caller, permission: &str) -> String {
    let body = json!({"role": "internal_service", "permissions": [permission]});
    text(&issuer.post("/api/tokens", body).await.success(), "/token")
}

#[tokio::test]
async fn a_list_is_fetched_once_and_again_when_a_key_was_revoked() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let key = text(&access.show().await, "/publicKey");
    let reader =
        world.keywright.caller(&token(&world.keywright.operator(), &format!("krl.read:{GROUP}")).await);
    let path = format!("/api/krl/{GROUP}");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");

    let empty = get(&reader, &path, None).await;
    assert_eq!(
        (empty.status, &empty.headers["content-type"]),
        (200, &"application/octet-stream".parse().unwrap())
    );
    std::fs::write(&list, &empty.bytes).unwrap();
    assert!(!names(&list, &key).await);
    let tag = empty.headers["etag"].to_str().unwrap().to_owned();
    let same = get(&reader, &path, Some(&tag)).await;
    assert_eq!((same.status, same.bytes.len()), (304, 0));

    // Nothing of the host is waited for.
    world.host.stop_server().await;
    let body = json!({"confirmation": {"accessId": access.id}});
    world.owner().post(&access.path("/revoke"), body).await.success();

    let next = get(&reader, &path, Some(&tag)).await;
    assert_eq!(next.status, 200);
    assert_ne!(next.headers["etag"].to_str().unwrap(), tag);
    std::fs::write(&list, &next.bytes).unwrap();
    assert!(names(&list, &key).await);
    let lines = get(&reader, &format!("{path}/text"), None).await;
    assert!(String::from_utf8_lossy(&lines.bytes).lines().any(|line| line == key), "{lines:?}");
    let listed = world.keywright.get("/api/krl").await.success();
    let krl = &listed["items"][0];
    assert_eq!((&krl["group"], &krl["revokedKeys"], &krl["servers"]), (&json!(GROUP), &json!(1), &json!(1)));
    assert_eq!(
        format!("\"{}\"", text(krl, "/etag")),
        get(&world.keywright.operator(), &path, None).await.headers["etag"].to_str().unwrap()
    );
}

#[tokio::test]
async fn each_caller_reads_what_is_his() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let key = text(&access.show().await, "/publicKey");
    access.revoke(json!({})).await;
    let operator = world.keywright.operator();
    let other = create_tenant(&world.keywright, "Other").await;
    let (_, stranger) = owner(&world.keywright, &other).await;
    let path = format!("/api/krl/{GROUP}/text");
    let sees = async |caller: &Caller| {
        let answer = get(caller, &path, None).await;
        (answer.status, String::from_utf8_lossy(&answer.bytes).contains(&key))
    };

    assert_eq!(sees(&operator).await, (200, true));
    assert_eq!(sees(&world.owner()).await, (200, true));
    assert_eq!(sees(&world.keywright.caller(&stranger)).await.0, 404);
    let other_group = world.keywright.caller(&token(&operator, "krl.read:other").await);
    assert_eq!(sees(&other_group).await.0, 404);
    let provisioner = world.keywright.caller(&token(&operator, "access.provision").await);
    assert_eq!(sees(&provisioner).await.0, 403);
    let of_tenant = world.keywright.caller(&token(&world.owner(), &format!("krl.read:{GROUP}")).await);
    assert_eq!(sees(&of_tenant).await, (200, true));
    assert_eq!(sees(&world.keywright.anonymous()).await.0, 401);
    let body = json!({"tenantId": other, "name": "its", "host": "its.example"});
    world.keywright.post("/api/servers", body).await.success();
    assert_eq!(sees(&world.keywright.caller(&stranger)).await, (200, false), "its own part of the group");
}

/// A host whose sshd reads a list, which is empty and says that it is ours.
async fn listening_host(world: &World) -> TestHost {
    let empty = get(&world.keywright.operator(), &format!("/api/krl/{GROUP}"), None).await;
    let options = HostOptions::default().config(format!("RevokedKeys {FILE}"));
    let host = TestHost::openssh(options).await.unwrap();
    std::fs::write(host.outside(FILE), &empty.bytes).unwrap();
    host
}

/// Registers and manages a host: `srv_…`.
async fn take(world: &World, host: &TestHost, name: &str) -> String {
    let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("root", format!("{}\n", bootstrap.public_line()));
    let server = register(&world.keywright, &world.tenant, host, name).await;
    manage(&world.keywright, &server, &bootstrap).await;
    server
}

#[tokio::test]
async fn sshd_refuses_a_revoked_key_whose_line_a_user_puts_back_on_embedded_stores() {
    put_back(World::embedded().await).await;
}

#[tokio::test]
async fn sshd_refuses_a_revoked_key_whose_line_a_user_puts_back_on_external_stores() {
    let (options, database) = options(Stores::External).await;
    put_back(World::with(options, database, Sshd::OpenSsh).await).await;
}

async fn put_back(world: World) {
    let (one, two) = (listening_host(&world).await, listening_host(&world).await);
    let server = take(&world, &one, "listed-1").await;
    take(&world, &two, "listed-2").await;
    let body = json!({"serverIds": [server], "createAccount": true});
    let path = format!("/api/tenants/{}/ssh-access", world.tenant);
    let started = world.keywright.post(&path, body).await.success();
    let access = keywright_e2e::Access::new(&world, &started);
    access.finished(&text(&started, "/recentRotations/0/id")).await;
    let key = access.download().await;
    let line = text(&access.show().await, "/publicKey");
    let opens = async || ssh(&one, &access.account, &key.path(), "true").await.ok();
    assert!(opens().await);

    let revocation = access.revoke(json!({})).await;

    assert_eq!(revocation["hosts"][0]["state"], "REMOVED_PROVEN", "{revocation}");
    assert!(names(&one.outside(FILE), &line).await, "in the same pass");
    one.write_authorized_keys(&access.account, format!("{line}\n"));
    assert!(!opens().await, "the list stops it");
    let follows = eventually(LIMIT, async || names(&two.outside(FILE), &line).await).await;
    assert!(follows, "the group's other host\n{}", world.keywright.logs());
    // Whoever is not revoked goes on: Keywright itself, on both.
    access.regenerate().await;
    let new = access.download().await;
    assert!(ssh(&one, &access.account, &new.path(), "true").await.ok());
    let log = world.keywright.get(&format!("/api/audit/events?tenantId={}", world.tenant)).await.success();
    let written = |event: &Value| event["action"] == "host.revoked_keys";
    assert!(log["items"].as_array().unwrap().iter().any(written), "{log}");
}

#[tokio::test]
async fn the_command_replaces_a_file_only_when_the_list_has_changed() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("revoked_keys");
    let reader = token(&world.keywright.operator(), &format!("krl.read:{GROUP}")).await;
    let out = file.to_str().unwrap().to_owned();
    let fetch = async || {
        let arguments = ["krl", "get", GROUP, "--out", &out, "--if-changed"];
        world.keywright.cli_as(Some(&reader), &arguments, b"").await.code
    };
    assert_eq!((fetch().await, fetch().await), (0, 11));
    let key = text(&access.show().await, "/publicKey");
    access.revoke(json!({"compromised": true})).await;
    assert_eq!((fetch().await, fetch().await), (0, 11));
    assert!(names(&file, &key).await);
}
