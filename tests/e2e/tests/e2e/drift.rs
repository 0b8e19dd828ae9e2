//! Who can get into a server: scans by the shipped programs, adoption, and our lines put back by policy.

use keywright_e2e::access::Access;
use keywright_e2e::authorized_keys::lines_of;
use keywright_e2e::{LIMIT, Sshd, Stores, World, text};
use keywright_kit::{KeyType, KeywrightOptions, eventually, keygen};
use reqwest::Method;
use serde_json::{Value, json};

on_every_pair!(a_scan_shows_whose_each_line_is);

/// Set up like every other world, but with a watch that looks every other second.
async fn watching(sshd: Sshd) -> World {
    let options = KeywrightOptions::default().arg("--key-scan-interval").arg("2");
    World::with(options, None, sshd).await
}

fn key<'v>(scan: &'v Value, account: &str, class: &str) -> &'v Value {
    let keys = scan["keys"].as_array().unwrap();
    let found: Vec<&Value> =
        keys.iter().filter(|key| key["account"] == account && key["class"] == class).collect();
    assert_eq!(found.len(), 1, "{class} of {account} in {scan}");
    found[0]
}

async fn a_scan_shows_whose_each_line_is(world: World) {
    let access = world.provision().await;
    let foreign = keygen(KeyType::Rsa(1024), "").await.unwrap();
    world.host.add_user("deploy");
    world.host.write_authorized_keys("deploy", format!("junk\n{}\n", foreign.public_line()));
    let scan = async |more: &[&str]| {
        let arguments = [&["server", "keys", &world.server, "--scan", "--output", "json"], more].concat();
        let output = world.keywright.cli(&arguments).await;
        (output.code, serde_json::from_str::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")))
    };

    let (code, clean) = scan(&[]).await;
    assert_eq!((code, &clean["drift"]), (0, &json!(0)), "{clean}");
    assert_eq!(key(&clean, &access.account, "managed")["accessId"], access.id);
    key(&clean, "root", "management");
    let roots = key(&clean, "root", "foreign");
    assert_eq!(roots["flags"], json!(["UNRESTRICTED_ROOT"]));
    let deploys = key(&clean, "deploy", "foreign");
    assert_eq!(
        (&deploys["flags"], &deploys["bits"], &deploys["line"]),
        (&json!(["WEAK"]), &json!(1024), &json!(2))
    );
    assert_eq!(clean["settingsRead"], world.sshd == Sshd::OpenSsh);

    let named = ["--account", "deploy", "--fingerprint", deploys["fingerprint"].as_str().unwrap()];
    let adopt =
        [&["server", "keys", "adopt", &world.server][..], &named, &["--owner", "CI team", "--note", "n"]];
    world.keywright.cli(&adopt.concat()).await.success();
    let table = world.keywright.cli(&["server", "keys", &world.server]).await.success();
    assert!(table.contains("TRACKED") && table.contains("CI team"), "{table}");
    let forget = [&["server", "keys", "forget", &world.server][..], &named].concat();
    world.keywright.cli(&forget).await.success();

    // Our line goes, and comes back in somebody else's file.
    let file = String::from_utf8(world.host.read_authorized_keys(&access.account).unwrap()).unwrap();
    world.host.write_authorized_keys("deploy", &file);
    world.host.write_authorized_keys(&access.account, "");
    let (code, drifted) = scan(&[]).await;
    assert_eq!((code, &drifted["drift"]), (9, &json!(2)), "{drifted}");
    key(&drifted, "deploy", "orphan");
    key(&drifted, &access.account, "missing");
    assert!(world.host.read_authorized_keys(&access.account).unwrap().is_empty(), "a scan changed a file");
    let logs = world.keywright.logs();
    assert!(!logs.contains("junk") && !logs.contains(foreign.public_line().split(' ').nth(1).unwrap()));
}

#[tokio::test]
async fn by_policy_our_lines_are_put_back_and_foreign_ones_stay() {
    for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
        let world = watching(sshd).await;
        let foreign = keygen(KeyType::Ed25519, "").await.unwrap();
        let theirs = format!("# mine\n{} me@home\n", foreign.public_line());
        let access = world.provision_existing("alice", &theirs).await;
        let public = text(&access.show().await, "/publicKey");
        let key = access.download().await;
        repair(&access, &world).await;

        world.host.write_authorized_keys("alice", &theirs);
        let back = eventually(LIMIT, async || !lines_of(&world.host, "alice", &public).is_empty()).await;
        assert!(back, "{}", world.keywright.logs());
        assert!(access.opens(&key).await);
        let file = String::from_utf8(world.host.read_authorized_keys("alice").unwrap()).unwrap();
        assert!(file.starts_with(&theirs), "{file}");
        let path = "/api/audit/events";
        let told =
            |log: &Value| log["items"].as_array().unwrap().iter().any(|it| it["action"] == "host.repair");
        world.keywright.wait_for(path, LIMIT, told).await;
    }
}

async fn repair(access: &Access<'_>, world: &World) {
    let path = format!("/api/policies/tenants/{}/ssh-access/{}", world.tenant, access.id);
    let body = json!({"policy": {"driftAction": "repair"}});
    world.keywright.operator().send(Method::PUT, &path, Some(body), &[]).await.success();
}

#[tokio::test]
async fn without_a_policy_drift_is_only_seen() {
    let world = watching(Sshd::OpenSsh).await;
    let access = world.provision().await;
    world.host.write_authorized_keys(&access.account, "");
    let path = format!("/api/servers/{}/keys", world.server);
    let first = world.keywright.wait_for(&path, LIMIT, |scan| scan["drift"] == 1).await;
    let again = |scan: &Value| scan["drift"] == 1 && scan["scannedAt"] != first["scannedAt"];
    world.keywright.wait_for(&path, LIMIT, again).await;
    assert!(world.host.read_authorized_keys(&access.account).unwrap().is_empty());
}

#[tokio::test]
async fn another_tenants_server_is_none_and_an_owner_adopts_nothing() {
    let world = World::new(Stores::Embedded, Sshd::OpenSsh).await;
    let other = keywright_e2e::world::create_tenant(&world.keywright, "Other").await;
    let (_, token) = keywright_e2e::world::owner(&world.keywright, &other).await;
    let stranger = world.keywright.caller(&token);
    let path = format!("/api/servers/{}/keys", world.server);
    assert_eq!(stranger.get(&path).await.status, 404);
    assert_eq!(stranger.post(&format!("{path}/scan"), json!({})).await.status, 404);
    let body = json!({"account": "root", "fingerprint": world.bootstrap.fingerprint().await, "owner": "me"});
    assert_eq!(
        stranger.post(&format!("{path}/adopt"), body.clone()).await.status,
        403,
        "an operator's, whatever it is about"
    );
    world.owner().post(&format!("{path}/scan"), json!({})).await.success();
    assert_eq!(world.owner().post(&format!("{path}/adopt"), body.clone()).await.status, 403);
    world.keywright.post(&format!("{path}/adopt"), body).await.success();
}
