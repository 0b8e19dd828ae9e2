//! Tests of many servers: each gets one result, whoever asks and however many replicas take part.

use std::collections::BTreeSet;
use std::time::Duration;

use keywright_e2e::authorization::cast::person;
use keywright_e2e::world::{create_tenant, options, owner};
use keywright_e2e::{LIMIT, Sshd, Stores, World, audit_log, text};
use keywright_kit::{HostOptions, KeyPair, KeyType, Keywright, TestHost, eventually, free_port, keygen};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const ROUTE: &str = "/api/fleet/connectivity-tests";

/// A saved credential for the user `deploy` of the host.
pub async fn credential(world: &World, host: &TestHost) -> (String, KeyPair) {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    host.add_user("deploy");
    host.write_authorized_keys("deploy", format!("{}\n", key.public_line()));
    let body = json!({"tenantId": world.tenant, "name": "deploy", "username": "deploy",
        "privateKey": key.private_text()});
    (text(&world.keywright.post("/api/credentials/ssh", body).await.success(), "/id"), key)
}

/// A server at this address with the host's keys.
pub async fn at(world: &World, name: &str, host: &TestHost, port: u16, labels: Value) -> String {
    let body = json!({"tenantId": world.tenant, "name": name, "host": host.address(), "port": port,
        "hostKeys": host.host_keys(), "labels": labels});
    text(&world.keywright.post("/api/servers", body).await.success(), "/id")
}

pub async fn bind(world: &World, server: &str, credential: &str) {
    let body = json!({"credentialId": credential, "skipTest": true});
    world.keywright.post(&format!("/api/servers/{server}/credentials"), body).await.success();
}

/// The command as the operator: its exit code, and its answer.
async fn command(keywright: &Keywright, arguments: &[&str]) -> (i32, Value) {
    let all: Vec<&str> = ["-o", "json", "server"].iter().chain(arguments).copied().collect();
    let output = keywright.cli(&all).await;
    let answer = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.code, answer)
}

async fn targets(keywright: &Keywright, test: &str) -> Vec<Value> {
    let (mut all, mut page) = (Vec::new(), String::new());
    loop {
        let path = format!("{ROUTE}/{test}/targets?pageSize=200&pageToken={page}");
        let answer = keywright.get(&path).await.success();
        all.extend(answer["items"].as_array().unwrap().iter().cloned());
        page = text(&answer, "/nextPageToken");
        if page.is_empty() {
            return all;
        }
    }
}

#[tokio::test]
async fn each_server_gets_its_result_and_the_log_one_event_a_wave() {
    let world = World::embedded().await;
    let (credential, _) = credential(&world, &world.host).await;
    let closed = free_port().unwrap();
    let (here, port) = (&world.host, world.host.port());
    let red = json!({"colour": "red"});
    let web = at(&world, "web-a", here, port, red.clone()).await;
    let further = at(&world, "web-b", here, port, json!({})).await;
    let down = at(&world, "down", here, closed.number(), json!({})).await;
    let inactive = at(&world, "inactive", here, port, red).await;
    for server in [&web, &further, &down, &inactive] {
        bind(&world, server, &credential).await;
    }
    world.keywright.post(&format!("/api/servers/{inactive}/deactivate"), json!({})).await.success();

    let all = ["test", "--all", "--tenant", &world.tenant, "--reason", "after the move"];
    let (code, test) = command(&world.keywright, &all).await;

    assert_eq!((code, &test["state"]), (9, &json!("finished")), "{test}");
    let numbers = ["targetCount", "healthy", "degraded", "unreachable", "skipped"].map(|name| &test[name]);
    assert_eq!(numbers, [&json!(4), &json!(2), &json!(0), &json!(1), &json!(1)], "{test}");
    assert_eq!(test["comment"], "after the move");
    let stages: Vec<String> =
        test["latencies"].as_array().unwrap().iter().map(|it| text(it, "/check")).collect();
    assert_eq!(stages, ["dns", "tcp", "handshake", "authentication", "session", "runtime"]);
    let id = text(&test, "/id");
    let targets = targets(&world.keywright, &id).await;
    let about = |server: &str| {
        let target = targets.iter().find(|target| target["serverId"] == server).unwrap();
        ["state", "status", "failedCheck", "reason"].map(|name| text(target, &format!("/{name}")))
    };
    assert_eq!(about(&web), ["tested", "healthy", "", ""]);
    assert_eq!(about(&down), ["tested", "unreachable", "tcp", "CONNECTION_REFUSED"]);
    assert_eq!(about(&world.server), ["skipped", "unspecified", "", "BINDING_NOT_FOUND"]);
    // The same as in the server's own history, and as its binding shows.
    let kept = world.keywright.get(&format!("/api/servers/{web}/connectivity-tests")).await.success();
    let target = targets.iter().find(|target| target["serverId"] == web).unwrap();
    assert_eq!((&kept["items"][0]["id"], kept["items"].as_array().unwrap().len()), (&target["testId"], 1));
    let shown = world.keywright.get(&format!("/api/servers/{web}")).await.success();
    assert_eq!(shown["credential"]["testStatus"], "HEALTHY", "{shown}");

    let log = async |action: &str| {
        let filter = format!("action={action}&tenantId={}", world.tenant);
        audit_log::settled(&world.keywright, &filter).await
    };
    let (begun, waves, finished) =
        (log("fleet_test.create").await, log("fleet_test.wave").await, log("fleet_test.finish").await);
    assert_eq!((begun.len(), finished.len(), log("connectivity_test.create").await.len()), (1, 1, 0));
    assert_eq!(begun[0]["comment"], "after the move");
    assert!((1..=2).contains(&waves.len()), "{waves:?}");
    assert_eq!(finished[0]["details"]["unreachable"], "1", "{finished:?}");
    assert!(
        log("credential.sign")
            .await
            .iter()
            .all(|it| it["details"]["work"] == id && it["outcome"] == "succeeded")
    );

    let labelled = ["test", "--all", "--label", "colour=red", "--per-host", "1"];
    let (code, test) = command(&world.keywright, &labelled).await;
    assert_eq!((code, &test["targetCount"], &test["healthy"]), (0, &json!(1), &json!(1)), "{test}");
    let answer = world.owner().post(ROUTE, json!({"selector": {"labels": {"colour": "blue"}}})).await;
    assert_eq!((answer.status, answer.reason()), (400, "VALIDATION_FAILED"));

    let other = create_tenant(&world.keywright, "Other").await;
    let (_, stranger) = owner(&world.keywright, &other).await;
    let stranger = world.keywright.caller(&stranger);
    assert_eq!(stranger.get(ROUTE).await.success()["items"], json!([]));
    let theirs = json!({"selector": {"tenantId": world.tenant}});
    let answer = stranger.post(ROUTE, theirs).await;
    assert_eq!((answer.status, answer.reason()), (404, "TENANT_NOT_FOUND"));
    let named = json!({"selector": {"serverIds": [web]}});
    assert_eq!(stranger.post(ROUTE, named).await.status, 400, "no server of theirs is chosen");
}

#[tokio::test]
async fn a_cancelled_one_begins_no_further_test() {
    let mut world = World::embedded().await;
    let (credential, _) = credential(&world, &world.host).await;
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    for name in ["one", "two", "three"] {
        let server = at(&world, name, &world.host, port, json!({"silent": "yes"})).await;
        bind(&world, &server, &credential).await;
    }
    let body = json!({"selector": {"labels": {"silent": "yes"}}, "plan": {"maxParallel": 1}});
    let test = text(&world.owner().post(ROUTE, body.clone()).await.success(), "/id");
    let path = format!("{ROUTE}/{test}");
    let begun = |it: &Value| it["running"] == 1 && it["pending"] == 2;
    world.keywright.wait_for(&path, LIMIT, begun).await;
    let (_, member) = person(&world.keywright, &world.owner(), &world.tenant, "tenant_member").await;
    let member = world.keywright.caller(&member);
    assert_eq!(member.get(&path).await.status, 200);
    assert_eq!(member.post(&format!("{path}/cancel"), json!({})).await.status, 403);

    let cancelled = world.owner().post(&format!("{path}/cancel"), json!({})).await.success();

    assert_eq!(
        (&cancelled["state"], &cancelled["cancelled"]),
        (&json!("cancelled"), &json!(2)),
        "{cancelled}"
    );
    // What runs comes to its end, and asking again changes nothing.
    let ended = world.keywright.wait_for(&path, LIMIT, |it| it["running"] == 0).await;
    assert_eq!((&ended["unreachable"], &ended["state"]), (&json!(1), &json!("cancelled")), "{ended}");
    assert_eq!(world.owner().post(&format!("{path}/cancel"), json!({})).await.success(), ended);

    // What runs while the server is killed is nobody's any more, and not begun again.
    let test = text(&world.owner().post(ROUTE, body).await.success(), "/id");
    let path = format!("{ROUTE}/{test}");
    world.keywright.wait_for(&path, LIMIT, begun).await;
    world.owner().post(&format!("{path}/cancel"), json!({})).await.success();
    world.keywright.kill9().await;
    world.keywright.restart().await.unwrap();
    world.keywright.wait_for(&path, LIMIT, |it| it["running"] == 0 && it["cancelled"] == 3).await;
}

/// By two replicas, one of which is killed midway.
#[tokio::test]
async fn five_hundred_servers_are_tested_once_each_though_a_replica_is_killed() {
    const SERVERS: usize = 500;
    const PARALLEL: usize = 48;
    let folder = tempfile::tempdir().unwrap();
    let (options, database) = options(Stores::External).await;
    let options = options.data_dir(&folder.path().join("data"));
    let mut world = World::with(options.clone(), database, Sshd::OpenSsh).await;
    let other = Keywright::start(options).await.unwrap();
    let host = TestHost::openssh(HostOptions::default().config("MaxStartups 200")).await.unwrap();
    let (credential, _) = credential(&world, &host).await;
    for number in 0..SERVERS {
        let labels = json!({"fleet": "yes"});
        let server = at(&world, &format!("node-{number}"), &host, host.port(), labels).await;
        bind(&world, &server, &credential).await;
    }
    let plan = json!({"maxParallel": PARALLEL, "maxPerHost": 100, "maxPerNetwork": 200});
    let body = json!({"selector": {"labels": {"fleet": "yes"}}, "plan": plan});
    let test = text(&world.owner().post(ROUTE, body).await.success(), "/id");
    let path = format!("{ROUTE}/{test}");
    let patience = Duration::from_secs(180);
    other.wait_for(&path, patience, |it| it["healthy"].as_i64().unwrap() >= 100).await;

    world.keywright.kill9().await;

    let ended = other.wait_for(&path, patience, |it| it["state"] == "finished").await;
    let targets = targets(&other, &test).await;
    let others: Vec<&Value> = targets.iter().filter(|it| it["status"] != "healthy").collect();
    assert_eq!((&ended["healthy"], others), (&json!(SERVERS), Vec::new()), "{ended}");
    let distinct = |name: &str| targets.iter().map(|it| text(it, name)).collect::<BTreeSet<_>>().len();
    assert_eq!((targets.len(), distinct("/serverId"), distinct("/testId")), (SERVERS, SERVERS, SERVERS));
    for target in &targets {
        let server = text(target, "/serverId");
        let kept = other.get(&format!("/api/servers/{server}/connectivity-tests")).await.success();
        let kept: Vec<&Value> = kept["items"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
        assert_eq!(kept, [&target["testId"]], "{server} has another number of results than one");
    }
    // What the killed one had under way was logged in to once more, nothing else.
    let logins = || host.log().matches("Accepted publickey for deploy").count();
    assert!(eventually(LIMIT, async || logins() >= SERVERS).await);
    assert!(logins() <= SERVERS + PARALLEL, "{} logins", logins());
    world.keywright.restart().await.unwrap();
    assert_eq!(world.keywright.get(&path).await.success(), ended);
}
