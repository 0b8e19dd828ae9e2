//! Servers that are reached through others, and servers that show a wrong host key.

use keywright_e2e::receiver::Receiver;
use keywright_e2e::world::{manage, start_host};
use keywright_e2e::{Access, LIMIT, Sshd, Stores, World, audit_log, text};
use keywright_kit::{KeyType, TestHost, eventually, keygen};
use serde_json::{Value, json};

use super::fleet::{at, bind, credential};

pub async fn set_jump_host(world: &World, server: &str, jump_host: &str) {
    let output = world.keywright.cli(&["server", "jump-host", server, jump_host]).await;
    assert_eq!(output.code, 0, "{output:?}");
}

async fn test(world: &World, server: &str) -> Value {
    world.keywright.post(&format!("/api/servers/{server}/connectivity-tests"), json!({})).await.success()
}

fn check<'a>(test: &'a Value, name: &str) -> &'a Value {
    test["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

/// A host that lets `deploy` in, as a server: itself, its id.
pub async fn jump_host(world: &World, name: &str, kind: Sshd) -> (TestHost, String) {
    let host = start_host(kind).await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    host.add_user("deploy");
    host.write_authorized_keys("deploy", format!("{}\n", key.public_line()));
    let body = json!({"tenantId": world.tenant, "name": format!("{name}-key"), "username": "deploy",
        "privateKey": key.private_text()});
    let credential = text(&world.keywright.post("/api/credentials/ssh", body).await.success(), "/id");
    let server = at(world, name, &host, host.port(), json!({})).await;
    bind(world, &server, &credential).await;
    (host, server)
}

/// All that is done on a server is done through two others, each with its own credential; without them, nothing is.
#[tokio::test]
async fn a_server_behind_two_jump_hosts_is_tested_managed_rotated_and_revoked() {
    for stores in [Stores::Embedded, Stores::External] {
        let world = World::new(stores, Sshd::OpenSsh).await;
        let (outer, outer_id) = jump_host(&world, "outer", Sshd::OpenSsh).await;
        let (inner, inner_id) = jump_host(&world, "inner", Sshd::Dropbear).await;
        set_jump_host(&world, &inner_id, &outer_id).await;
        let hidden = start_host(Sshd::OpenSsh).await;
        let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
        hidden.write_authorized_keys("root", format!("{}\n", bootstrap.public_line()));
        let (login, _) = credential(&world, &hidden).await;
        let body = json!({"tenantId": world.tenant, "name": "hidden", "host": hidden.address(),
            "port": hidden.port(), "jumpHostId": inner_id, "acceptNew": true});
        let server = world.keywright.post("/api/servers", body).await.success();
        assert_eq!(server["hostKeys"].as_array().unwrap().len(), 3, "scanned through both: {server}");
        let server = text(&server, "/id");
        bind(&world, &server, &login).await;

        let tested = test(&world, &server).await;
        assert_eq!(tested["status"], "healthy", "{tested}");
        assert_eq!(check(&tested, "tcp")["metadata"]["jumpHosts"], "outer, inner", "{tested}");
        let fleet = ["-o", "json", "server", "test", "--all", "--only", &server];
        let output = world.keywright.cli(&fleet).await;
        assert_eq!(output.code, 0, "as a fleet test, which signs as a work: {output:?}");

        manage(&world.keywright, &server, &bootstrap).await;
        let body = json!({"serverIds": [server], "createAccount": true});
        let path = format!("/api/tenants/{}/ssh-access", world.tenant);
        let started = world.keywright.post(&path, body).await.success();
        let access = Access::new(&world, &started);
        access.finished(&text(&started, "/recentRotations/0/id")).await;
        access.rotate("0s").await;
        let log = outer.log();
        assert!(log.matches("Accepted publickey for deploy").count() > 5, "{log}");

        // Without a way, a test says where it ends, and a revocation waits.
        inner.stop_server().await;
        let lost = test(&world, &server).await;
        let tcp = check(&lost, "tcp");
        assert_eq!(
            (&lost["status"], &tcp["code"]),
            (&json!("unreachable"), &json!("NETWORK_UNREACHABLE")),
            "{lost}"
        );
        let at = ["jumpHost", "jumpStage"].map(|name| text(tcp, &format!("/metadata/{name}")));
        assert_eq!(at, ["outer", "forward"], "it could not connect: {lost}");
        let body = json!({"confirmation": {"accessId": access.id}});
        let revocation = world.owner().post(&access.path("/revoke"), body).await.success();
        let path = format!("/api/revocations/{}", text(&revocation, "/id"));
        let waits = |it: &Value| it["hosts"][0]["attempts"].as_i64() > Some(0);
        let waiting = world.keywright.wait_for(&path, LIMIT, waits).await;
        assert_eq!(waiting["hosts"][0]["state"], "REMOVAL_PENDING", "{waiting}");
        // A deactivated one still carries connections: what is revoked must get through.
        world.keywright.post(&format!("/api/servers/{outer_id}/deactivate"), json!({})).await.success();
        inner.start_server().await;
        let ended = world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
        assert_eq!(ended["hosts"][0]["state"], "REMOVED_PROVEN", "{ended}");
    }
}

/// A wrong host key is kept with the server and told; a revocation is accepted meanwhile, and ends after a re-pin.
#[tokio::test]
async fn a_changed_host_key_is_told_and_a_revocation_waits_for_the_re_pin() {
    let mut world = World::embedded().await;
    let receiver = Receiver::start().await;
    let body = json!({"tenantId": world.tenant, "kind": "webhook", "address": receiver.hook(),
        "events": ["server.host_key_mismatch", "server.host_key_resolved"]});
    let target = world.owner().post("/api/notification-targets", body).await.success();
    receiver.knows(&text(&target, "/secret"));
    let access = world.provision().await;
    let id = access.id.clone();
    let (login, _) = credential(&world, &world.host).await;
    let server = world.server.clone();
    bind(&world, &server, &login).await;
    assert_eq!(test(&world, &server).await["status"], "healthy");
    let pinned =
        fingerprints(&world.keywright.get(&format!("/api/servers/{server}")).await.success()["hostKeys"]);
    world.host.replace_host_keys().await;

    let changed = test(&world, &server).await;

    assert_eq!(check(&changed, "host-key")["code"], "HOST_KEY_MISMATCH", "{changed}");
    let path = format!("/api/servers/{server}");
    let flagged = async || world.keywright.get(&path).await.success()["hostKeyMismatch"].clone();
    let shown = flagged().await;
    assert_eq!(shown["fingerprint"], check(&changed, "host-key")["metadata"]["presented"], "{shown}");
    let events = audit_log::whole(&world.keywright).await;
    let told =
        events.iter().filter(|it| it["action"] == "server.host_key_mismatch" && it["target"] == server);
    assert_eq!(told.count(), 1);
    let told = receiver.waits_for(|got| got["body"]["type"] == "server.host_key_mismatch").await;
    let (told, data) = (&told, &told["body"]["data"]);
    assert_eq!((&told["verified"], &data["subject"]), (&json!(true), &json!(server)), "{told}");
    let details = ["presented", "host"].map(|name| text(data, &format!("/details/{name}")));
    let host = format!("{}:{}", world.host.address(), world.host.port());
    assert_eq!(details, [text(&shown, "/fingerprint"), host], "{told}");
    // The test, unless work of the lifecycle's own came by first.
    let by = text(data, "/details/seenBy");
    assert!(["connectivity-probe", "key-lifecycle"].contains(&by.as_str()), "{told}");
    assert!(pinned.iter().all(|print| text(data, "/details/pinned").contains(print)), "{told}");

    // Accepted at once; the host itself has to wait.
    let access = Access::new(&world, &json!({"id": id, "account": ""}));
    let body = json!({"confirmation": {"accessId": id}});
    let revocation = world.owner().post(&access.path("/revoke"), body).await.success();
    let revocation = format!("/api/revocations/{}", text(&revocation, "/id"));
    let tried = |it: &Value| it["hosts"][0]["attempts"].as_i64() > Some(0);
    let waiting = world.keywright.wait_for(&revocation, LIMIT, tried).await;
    assert_eq!(waiting["hosts"][0]["state"], "REMOVAL_PENDING", "{waiting}");

    let scan = world.keywright.post(&format!("{path}/host-keys/scan"), json!({})).await.success();
    let body = json!({"action": "repin", "fingerprints": fingerprints(&scan["items"])});
    world.keywright.post(&format!("{path}/host-keys"), body).await.success();

    assert!(flagged().await.is_null());
    let settled = receiver.waits_for(|got| got["body"]["type"] == "server.host_key_resolved").await;
    assert_eq!(settled["body"]["data"]["details"]["how"], "repin", "{settled}");
    assert_eq!(test(&world, &server).await["status"], "healthy");
    let ended = world.keywright.wait_for(&revocation, LIMIT, |it| it["state"] == "succeeded").await;
    assert_eq!(ended["hosts"][0]["state"], "REMOVED_PROVEN", "{ended}");
    assert!(eventually(LIMIT, async || access.show().await["status"] == "revoked").await);
    // The revocation met the wrong key too, and nobody heard of it a second time.
    let types: Vec<String> = receiver.got().iter().map(|got| text(got, "/body/type")).collect();
    assert_eq!(types, ["server.host_key_mismatch", "server.host_key_resolved"]);
}

fn fingerprints(keys: &Value) -> Vec<String> {
    keys.as_array().unwrap().iter().map(|key| text(key, "/fingerprint")).collect()
}

/// What is told outlives a kill, and of two servers one tells it.
#[tokio::test]
async fn a_changed_host_key_is_told_once_by_whichever_server_lives() {
    let (mut world, other, _folder) = super::replicas::two().await;
    let receiver = Receiver::start().await;
    let body = json!({"kind": "webhook", "address": receiver.hook()});
    let target = world.keywright.post("/api/notification-targets", body).await.success();
    receiver.knows(&text(&target, "/secret"));
    let (login, _) = credential(&world, &world.host).await;
    let server = world.server.clone();
    bind(&world, &server, &login).await;
    world.host.replace_host_keys().await;
    let path = format!("/api/servers/{server}/connectivity-tests");
    let (here, there) = tokio::join!(world.keywright.post(&path, json!({})), other.post(&path, json!({})));
    for changed in [here.success(), there.success()] {
        assert_eq!(check(&changed, "host-key")["code"], "HOST_KEY_MISMATCH", "{changed}");
    }

    world.keywright.kill9().await;

    let is_told = |got: &Value| got["body"]["type"] == "server.host_key_mismatch";
    let told = receiver.waits_for(is_told).await;
    assert_eq!((&told["verified"], &told["body"]["data"]["subject"]), (&json!(true), &json!(server)));
    let flagged = other.get(&format!("/api/servers/{server}")).await.success();
    assert!(flagged["hostKeyMismatch"].is_object(), "{flagged}");
    world.keywright.restart().await.unwrap();
    assert_eq!(test(&world, &server).await["status"], "unreachable");
    let mut ids: Vec<String> =
        receiver.got().iter().filter(|got| is_told(got)).map(|got| text(got, "/id")).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "one message, however often it was tried");
}
